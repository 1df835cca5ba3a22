/* denied RULE... -- PROGRAM ARGUMENT...: runs a program in which system calls fail, as on a file system that does not
 * know them. A rule is NAME=ERRNO, with the number of the error. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOW(n) (offsetof(struct seccomp_data, args[n]) + (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0))

static struct sock_filter filter[256];
static unsigned short count;

static void add(struct sock_filter line) { filter[count++] = line; }

static void load(unsigned offset) { add((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset)); }

/* Passes over `skip` lines unless the loaded word, of which `mask` counts, is that. */
static void unless(unsigned mask, unsigned value, unsigned char skip) {
    add((struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, mask));
    add((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skip));
}

static void fail(unsigned error) {
    add((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error));
}

static void deny(unsigned call, unsigned error) {
    load(offsetof(struct seccomp_data, nr));
    unless(~0U, call, 1);
    fail(error);
}

/* Only where an argument has these bits. */
static void deny_with(unsigned call, unsigned argument, unsigned mask, unsigned value, unsigned error) {
    load(offsetof(struct seccomp_data, nr));
    unless(~0U, call, 4);
    load(LOW(argument));
    unless(mask, value, 1);
    fail(error);
}

int main(int argc, char **argv) {
    int at = 1;
    for (; at < argc && strcmp(argv[at], "--"); at++) {
        char *equals = strchr(argv[at], '=');
        if (!equals) return 99;
        unsigned error = (unsigned)atoi(equals + 1);
        *equals = 0;
        if (!strcmp(argv[at], "flock")) deny(__NR_flock, error);
        else if (!strcmp(argv[at], "fallocate")) deny(__NR_fallocate, error);
        else if (!strcmp(argv[at], "tmpfile")) {
#ifdef __NR_open
            deny_with(__NR_open, 1, O_TMPFILE, O_TMPFILE, error);
#endif
            deny_with(__NR_openat, 2, O_TMPFILE, O_TMPFILE, error);
        }
        else if (!strcmp(argv[at], "setlk")) deny_with(__NR_fcntl, 1, ~0U, F_SETLK, error);
        else if (!strcmp(argv[at], "mkdir")) {
#ifdef __NR_mkdir
            deny(__NR_mkdir, error);
#endif
            deny(__NR_mkdirat, error);
        }
        else return 99;
    }
    add((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    struct sock_fprog program = {count, filter};
    if (at + 1 >= argc || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return 99;
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) return 98;
    execv(argv[at + 1], argv + at + 1);
    return 99;
}
