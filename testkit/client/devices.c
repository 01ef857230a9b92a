/*
 * Devices and terminals. Device files are opened and closed, never read or written. Input is pushed
 * only into the terminal the host made for it, known by its device number.
 */
#include "testkit/client/client.h"

#define TIOCSTI 0x5412L
#define TIOCGDEV 0x80045432L
#define TIOCLINUX 0x541cL

static void open_device(struct result *result, const char *path, int flags)
{
	long fd = file_open(path, flags | O_NOCTTY);

	if (fd == -ENODEV || fd == -ENXIO) {
		result_absent(result, fd);
		return;
	}
	result_from(result, fd);
}

static void device_fuse(struct result *result)
{
	open_device(result, "/dev/fuse", O_RDWR);
}

static void device_tun(struct result *result)
{
	open_device(result, "/dev/net/tun", O_RDWR);
}

static void device_kvm(struct result *result)
{
	open_device(result, "/dev/kvm", O_RDWR);
}

static void device_kmsg(struct result *result)
{
	open_device(result, "/dev/kmsg", O_RDONLY);
}

/* A device node the host planted with open modes: the number is that of a loop device's control. */
static void device_planted(struct result *result)
{
	if (!job_has("device")) {
		result_absent(result, 0);
		return;
	}
	open_device(result, job_text("device"), O_RDONLY);
}

static bool is_canary(long fd)
{
	uint32_t number = 0;

	return sys(SYS_ioctl, fd, TIOCGDEV, &number) == 0 && number == job_number("tty");
}

/* The canary terminal among our descriptors, or through /dev/tty. */
static long find_terminal(void)
{
	for (long fd = 0; fd < 64; fd++) {
		if (is_canary(fd)) {
			return fd;
		}
	}
	long fd = file_open("/dev/tty", O_RDWR | O_NOCTTY);
	if (fd >= 0 && !is_canary(fd)) {
		return -ENOTTY;
	}
	return fd;
}

static void push(struct result *result, long request, char byte)
{
	long fd = find_terminal();

	result_from(result, fd < 0 ? fd : sys(SYS_ioctl, fd, request, &byte));
}

static void tty_push(struct result *result)
{
	push(result, TIOCSTI, '\xa1');
}

/* The same with a high bit that the kernel does not look at. */
static void tty_push_high(struct result *result)
{
	push(result, TIOCSTI | 1L << 32, '\xa2');
}

static void tty_controlling(struct result *result)
{
	long fd = file_open("/dev/tty", O_RDWR | O_NOCTTY);

	if (fd >= 0 && !is_canary(fd)) {
		fd = -ENXIO; /* a terminal, but one of our own */
	}
	result_from(result, fd);
	if (fd >= 0) {
		(void)sys(SYS_write, fd, "\xa3", 1);
	}
}

/* The canary by its name among the terminals. */
static void tty_other(struct result *result)
{
	long fd = file_open(job_text("pts"), O_WRONLY | O_NOCTTY);

	if (fd >= 0 && !is_canary(fd)) {
		fd = -ENXIO;
	}
	result_from(result, fd < 0 ? fd : sys(SYS_write, fd, "\xa4", 1));
}

/* A filter must refuse this on any terminal; on what is none the kernel answers ENOTTY. */
static void tty_push_door(struct result *result)
{
	char byte = 0;
	int ends[2] = {-1, -1};
	long r = sys(SYS_pipe2, ends, O_CLOEXEC);

	r = r < 0 ? r : sys(SYS_ioctl, ends[0], TIOCSTI, &byte);
	if (r == -ENOTTY || r == -EINVAL) {
		result_done(result, ""); /* let through: only the object was wrong */
		return;
	}
	result_from(result, r);
}

static void tty_linux_door(struct result *result)
{
	char code = 6;
	int ends[2] = {-1, -1};
	long r = sys(SYS_pipe2, ends, O_CLOEXEC);

	r = r < 0 ? r : sys(SYS_ioctl, ends[0], TIOCLINUX, &code);
	if (r == -ENOTTY || r == -EINVAL) {
		result_done(result, "");
		return;
	}
	result_from(result, r);
}

const struct client_probe probes_devices[] = {
	{"D.fuse", device_fuse},
	{"D.tun", device_tun},
	{"D.kvm", device_kvm},
	{"D.kmsg", device_kmsg},
	{"D.planted", device_planted},
	{"D.push", tty_push},
	{"D.push-high", tty_push_high},
	{"D.tty", tty_controlling},
	{"D.pts", tty_other},
	{"D.push-door", tty_push_door},
	{"D.linux-door", tty_linux_door},
	{NULL, NULL},
};
