#!/usr/bin/python3
"""What the server offers: nothing that ssh-audit fails, strict key exchange, and what the configuration says."""
from lib import Cloche, case, check, equal, main, run


@case("ssh-audit finds nothing to fail in what is offered by default")
def ssh_audit():
    with Cloche() as server:
        result = run(["ssh-audit", "--no-colors", "-p", str(server.port), "127.0.0.1"], timeout=60)
        text = result.out.decode()
        check("(kex) curve25519-sha256" in text and "(mac) hmac-sha2-256-etm" in text, f"it saw no server: {result}")
        failed = [line for line in text.splitlines() if "[fail]" in line]
        equal(failed, [], "ssh-audit fails")
        check(result.code in (0, 2), f"ssh-audit: exit {result.code}")


@case("ssh-audit does fail what a configuration weakens")
def weakened():
    with Cloche(server={"kex": "ecdh-sha2-nistp256"}) as server:
        result = run(["ssh-audit", "--no-colors", "-p", str(server.port), "127.0.0.1"], timeout=60)
        check(b"[fail]" in result.out and b"ecdh-sha2-nistp256" in result.out, f"ssh-audit: {result}")


@case("key exchange is strict")
def strict():
    with Cloche() as server:
        result = server.ssh("true", "-vvv")
        check("will use strict KEX ordering" in result.error or "kex-strict-s-v00@openssh.com" in result.error,
              f"the client saw {result.error[-600:]}")


@case("lists are kept to, and a name that is not known is refused with those that are")
def lists():
    with Cloche(server={"ciphers": "aes128-ctr", "macs": "hmac-sha2-512"}) as server:
        check(server.ssh("true").code == 0, "a login")
        check(server.ssh("true", "-c", "aes256-ctr").code == 255, "another cipher")
        check(server.ssh("true", "-m", "hmac-sha2-256").code == 255, "another MAC")
        for key, value, word in (("kex", "curve25519-sha265", "curve25519-sha256"),
                                 ("ciphers", "aes128-cbc", "aes128-ctr"), ("macs", "hmac-md5", "hmac-sha2-256"),
                                 ("host_key_algorithms", "ssh-rsa", "rsa-sha2-512"),
                                 ("public_key_algorithms", "ssh-dss", "ssh-ed25519")):
            for mode in ("-t", "-T"):
                result = run([server.program, mode, "-f", server.configure(), "-o", f"{key}={value}"])
                check(result.code == 1 and value in result.error and word in result.error,
                      f"{mode} {key}={value}: {result}")


main()
