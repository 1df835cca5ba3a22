/* killed N PROGRAM ARGUMENT...: runs a program and kills it when it is about to make its Nth system call that changes a
 * file or a folder. Status 137 then, else the program's own. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* PTRACE_GET_SYSCALL_INFO, which libraries name in different ways. */
#define INFO 0x420e
#define AT_ENTRY 1
struct call {
    uint8_t op, pad[3];
    uint32_t arch;
    uint64_t instruction_pointer, stack_pointer;
    struct {
        uint64_t nr, args[6];
    } entry;
};

static int changes(const struct call *call) {
    switch (call->entry.nr) {
    case SYS_openat:
        return (call->entry.args[2] & O_CREAT) != 0;
    case SYS_write:
        return call->entry.args[0] > 2;
    case SYS_fchmod: case SYS_fchown: case SYS_fsync: case SYS_fsetxattr: case SYS_symlinkat: case SYS_renameat:
    case SYS_renameat2: case SYS_unlinkat: case SYS_mkdirat:
#ifdef SYS_rename
    case SYS_rename: case SYS_unlink: case SYS_mkdir: case SYS_rmdir: case SYS_symlink:
#endif
        return 1;
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 3) return 99;
    long left = atol(argv[1]);
    pid_t child = fork();
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, 0, 0)) return 98;
        execv(argv[2], argv + 2);
        return 99;
    }
    int status;
    if (waitpid(child, &status, 0) < 0 || !WIFSTOPPED(status)) return 98;
    ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
    int deliver = 0;
    for (;;) {
        if (ptrace(PTRACE_SYSCALL, child, 0, deliver)) return 98;
        if (waitpid(child, &status, 0) < 0) return 98;
        if (WIFEXITED(status)) return WEXITSTATUS(status);
        if (WIFSIGNALED(status)) return 128 + WTERMSIG(status);
        deliver = WSTOPSIG(status);
        if (deliver != (SIGTRAP | 0x80)) continue;
        deliver = 0;
        struct call call;
        if (ptrace(INFO, child, sizeof call, &call) <= 0) return 98;
        if (call.op == AT_ENTRY && changes(&call) && --left == 0) {
            kill(child, SIGKILL);
            waitpid(child, &status, 0);
            return 137;
        }
    }
}
