#!/usr/bin/python3
"""What the server offers: nothing that ssh-audit fails, strict key exchange, and what the configuration says."""
import os

from lib import BUILD, Cloche, case, check, equal, eventually, main, run


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


@case("who knows none of what is offered is told of in the log, and is not taken for a crash of ours")
def mismatch():
    with Cloche(server={"penalty_exempt": [], "penalty_noauth": "1s", "penalty_min": "1h"}) as server:
        for cipher, mac, name, offer in (("aes128-ctr", "hmac-sha1", "mac algo", "hmac-sha1"),
                                         ("aes128-cbc", "hmac-sha2-256", "encryption", "aes128-cbc")):
            for _ in range(8):
                check(server.ssh("true", "-c", cipher, "-m", mac).code == 255, f"{cipher}, {mac}")
            eventually(lambda: server.log_text().count(f"no common {name}") == 8, f"the log's lines about {name}")
            check(f"; the client offers {offer}\n" in server.log_text(), f"its offer: {offer}")
        told = run([os.path.join(BUILD, "cli", "cloche"), "penalties", "--socket", server.settings["control"]])
        check("noauth" in told.text and "crash" not in told.text, f"penalties: {told}")


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
