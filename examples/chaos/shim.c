/* Faults for one process: loaded before the C library (LD_PRELOAD), told by the environment what to do.
 *
 * CHAOS_DENY   names of system calls that the kernel refuses to this process (seccomp), with blanks between:
 *              fallocate, tmpfile (EOPNOTSUPP), flock, ofd (ENOLCK), fsync (EIO), fchown (EPERM)
 * CHAOS_WRITE  N ERRNO: from the Nth write to a regular file on, each fails with this number
 * CHAOS_KILL   N: SIGKILL at the Nth call that changes a file, before it is made
 * CHAOS_CLOCK  N SECONDS: from the Nth look at it on, the wall clock is off by so much
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static long write_from, write_error, kill_at, clock_from, clock_by;
static atomic_long writes, changes, looks;

static void deny(const char *name, struct sock_filter *out, int *len) {
	/* Each rule: is it this call (and this argument)? then fail, else go on with the next rule. */
	int call, error, argument = -1;
	unsigned mask = 0, value = 0;
	if (!strcmp(name, "fallocate")) call = SYS_fallocate, error = EOPNOTSUPP;
	else if (!strcmp(name, "tmpfile")) {
		call = SYS_openat, error = EOPNOTSUPP, argument = 2;
		mask = value = O_TMPFILE & ~O_DIRECTORY;
	}
	else if (!strcmp(name, "flock")) call = SYS_flock, error = ENOLCK;
	else if (!strcmp(name, "ofd")) {
		/* F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW: 36, 37, 38 */
		call = SYS_fcntl, error = ENOLCK, argument = 1;
		mask = ~3u, value = 36;
	}
	else if (!strcmp(name, "fsync")) call = SYS_fsync, error = EIO;
	else if (!strcmp(name, "fchown")) call = SYS_fchown, error = EPERM;
	else return;
	struct sock_filter rule[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, argument < 0 ? 1 : 4),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args) + 8 * (argument < 0 ? 0 : argument)),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, mask),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
	};
	if (argument < 0) {
		out[(*len)++] = rule[0];
		out[(*len)++] = rule[1];
		out[(*len)++] = rule[5];
	} else {
		memcpy(out + *len, rule, sizeof rule);
		*len += 6;
	}
}

__attribute__((constructor)) static void begin(void) {
	const char *text;
	if ((text = getenv("CHAOS_WRITE"))) sscanf(text, "%ld %ld", &write_from, &write_error);
	if ((text = getenv("CHAOS_KILL"))) kill_at = atol(text);
	if ((text = getenv("CHAOS_CLOCK"))) sscanf(text, "%ld %ld", &clock_from, &clock_by);
	if ((text = getenv("CHAOS_DENY")) && *text) {
		struct sock_filter filter[64];
		int len = 0;
		char names[256];
		snprintf(names, sizeof names, "%s", text);
		for (char *name = strtok(names, " "); name; name = strtok(NULL, " ")) deny(name, filter, &len);
		filter[len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
		struct sock_fprog program = {.len = len, .filter = filter};
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
			static const char why[] = "chaos: the kernel takes no filter\n";
			(void)!syscall(SYS_write, 2, why, sizeof why - 1);
			_exit(111);
		}
	}
}

/* One call more that changes a file. */
static void change(void) {
	if (kill_at && atomic_fetch_add(&changes, 1) + 1 == kill_at) kill(getpid(), SIGKILL);
}

static int fails(int fd) {
	struct stat stat;
	if (fd <= 2 || fstat(fd, &stat) || !S_ISREG(stat.st_mode)) return 0;
	change();
	if (!write_from || atomic_fetch_add(&writes, 1) + 1 < write_from) return 0;
	errno = (int)write_error;
	return 1;
}

#define REAL(type, name) static type real; if (!real) real = (type)dlsym(RTLD_NEXT, name)

ssize_t write(int fd, const void *bytes, size_t count) {
	return fails(fd) ? -1 : syscall(SYS_write, fd, bytes, count);
}
ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
	return fails(fd) ? -1 : syscall(SYS_pwrite64, fd, bytes, count, at);
}
ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) { return pwrite64(fd, bytes, count, at); }
ssize_t writev(int fd, const struct iovec *parts, int count) {
	return fails(fd) ? -1 : syscall(SYS_writev, fd, parts, count);
}
int ftruncate64(int fd, off64_t size) {
	change();
	return (int)syscall(SYS_ftruncate, fd, size);
}
int rename(const char *from, const char *to) {
	change();
	return (int)syscall(SYS_rename, from, to);
}
int unlink(const char *path) {
	change();
	return (int)syscall(SYS_unlink, path);
}
int rmdir(const char *path) {
	change();
	return (int)syscall(SYS_rmdir, path);
}
int clock_gettime(clockid_t clock, struct timespec *time) {
	typedef int (*look)(clockid_t, struct timespec *);
	REAL(look, "clock_gettime");
	int result = real(clock, time);
	if (clock == CLOCK_REALTIME && clock_from && atomic_fetch_add(&looks, 1) + 1 >= clock_from) time->tv_sec += clock_by;
	return result;
}
