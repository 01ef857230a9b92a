#!/bin/bash
# Runs tests on the kernel that Debian 12 users have: Landlock ABI 2, cgroup v2 alone, in QEMU without
# hardware help. The machine is an initramfs made of busybox and the given programs.
#
#	debian-kernel.sh ATTACKER CLIENT PROGRAM...
#
# A test called test-attacks gets ATTACKER as its argument. test-claims is told which kernel this is,
# and cloche-testkit-host measures with CLIENT whether what is declared there holds, and without a layer
# that it does not. The kernel comes from the package linux-image-cloud-amd64, which is unpacked into a
# cache and not installed.
set -euo pipefail

cache=${CLOCHE_VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cloche-test-kernel}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for tool in qemu-system-x86_64 cpio busybox mke2fs dpkg-deb; do
	if ! command -v $tool >/dev/null; then
		echo "$tool is missing: apt-get install qemu-system-x86 cpio busybox-static e2fsprogs dpkg" >&2
		exit 1
	fi
done
if [ "$(uname -m)" != x86_64 ]; then
	echo "the machine in QEMU is an x86-64 one"
	exit 77
fi

if ! compgen -G "$cache/boot/vmlinuz-*" >/dev/null; then
	package=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/ {print $2}')
	(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download "$package")
	mkdir -p "$cache"
	dpkg-deb -x "$work"/linux-image-*.deb "$cache"
fi
kernel=$(compgen -G "$cache/boot/vmlinuz-*" | tail -n 1)
modules=$(compgen -G "$cache/lib/modules/*/kernel" | tail -n 1)

# The root that the tests see: pivot_root does not work on an initramfs itself.
root=$work/initramfs/payload
mkdir -p "$work"/initramfs/{bin,newroot} \
	"$root"/{usr/bin,usr/lib,usr/lib64,proc,sys,dev,etc,tmp,run,var/lib,var/tmp,tests,root,home,srv}
for link in bin sbin; do ln -s usr/bin "$root/$link"; done
for link in lib lib64; do ln -s usr/$link "$root/$link"; done
cp "$(command -v busybox)" "$work/initramfs/bin/busybox"
cp "$(command -v busybox)" "$root/usr/bin/busybox"
for name in sh mount mkdir insmod ifconfig poweroff true cat; do ln -s busybox "$root/usr/bin/$name"; done
echo 'root:x:0:0::/root:/bin/sh' >"$root/etc/passwd"
cp "$modules"/{fs/overlayfs/overlay,drivers/block/loop,crypto/af_alg,net/vmw_vsock/vsock,fs/quota/quota_tree,fs/quota/quota_v2}.ko \
	"$root/"
truncate -s 48M "$root/disk"
mke2fs -q -t ext4 "$root/disk" # idmapped mounts of tmpfs came with 6.3
truncate -s 32M "$root/limited"
mke2fs -q -t ext4 -O quota,project -E quotatype=prjquota "$root/limited"

cp "$1" "$root/tests/attacker"
cp "$2" "$root/tests/client"
shift 2
commands=
extra=0
for program; do
	name=$(basename "$program")
	cp "$program" "$root/tests/$name"
	ldd "$program" | awk '/=> \// {print $3}' | while read -r library; do
		cp -Lu "$library" "$root/usr/lib/"
	done
	case $name in
	test-attacks) argument=/tests/attacker ;;
	test-claims) argument="2 2" ;;
	cloche-testkit-host)
		argument="--target native --quick --client /tests/client"
		argument+=" --memory 64M --pids 32 --cpus 0.5 --timeout 1h 2>/dev/null"
		;;
	test-quota) argument=/srv ;;
	*) argument= ;;
	esac
	commands+="echo \"== $name\"; /tests/$name $argument; echo \"RESULT $name \$?\""$'\n'
	if [ $name = cloche-testkit-host ]; then
		# The same plan without a layer: here, too, that is seen.
		commands+="/tests/$name ${argument%2>*} --without filter >/dev/null 2>&1; [ \$? = 1 ]"
		commands+="; echo \"RESULT without-filter \$?\""$'\n'
		extra=$((extra + 1))
	fi
done
cp -L /lib64/ld-linux-x86-64.so.2 "$root/usr/lib64/"

cat >"$root/start" <<EOT
#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t tmpfs run /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
for module in overlay loop af_alg vsock quota_tree quota_v2; do insmod /\$module.ko; done
echo 2 >/proc/sys/kernel/perf_event_paranoid # Debian's 3 keeps everybody out; the filter must do it
mount -o loop /disk /var/lib
mount -o loop,prjquota /limited /srv
ifconfig lo up
export LD_LIBRARY_PATH=/usr/lib NO_COLOR=1 CLOCHE_TRANSLATED=1
$commands
echo RESULT machine 0
poweroff -f
EOT
cat >"$work/initramfs/init" <<'EOT'
#!/bin/busybox sh
/bin/busybox mount -t tmpfs -o size=75% tmpfs /newroot
/bin/busybox cp -a /payload/. /newroot/
exec /bin/busybox switch_root /newroot /start
EOT
chmod +x "$work/initramfs/init" "$root/start"
(cd "$work/initramfs" && find . | cpio -o -H newc 2>/dev/null | gzip -1) >"$work/initrd"

# One machine at a time, as tests/e2e/guests.py has it: what is measured in one has its bounds.
if [ -n "${CLOCHE_BUILD:-}" ]; then
	exec 9>"$CLOCHE_BUILD/machine.lock"
	flock 9
fi
timeout "${CLOCHE_VM_TIMEOUT:-500}" qemu-system-x86_64 -accel tcg -smp 1 -m 2048 -nographic -no-reboot \
	-nic none -kernel "$kernel" -initrd "$work/initrd" \
	-append 'console=ttyS0 quiet panic=-1 loglevel=3 cryptomgr.notests=1' </dev/null >"$work/log" 2>&1 || true
tr -d '\r' <"$work/log" >"$work/lines"
grep -v 'RUN  \|  OK ' "$work/lines" || true

# Every test has said how it ended, and so has the machine: what was cut short is not passed.
results=$(grep -c '^RESULT .* \(0\|77\)$' "$work/lines" || true)
if [ "$results" != $(($# + 1 + extra)) ]; then
	echo "$results of $(($# + 1 + extra)) results are good" >&2
	exit 1
fi
