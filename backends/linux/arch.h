/*
 * What seccomp calls the machine this was compiled for (struct seccomp_data, seccomp(2)): the only
 * one whose system calls a filter of ours lets through.
 */
#pragma once

#include <linux/audit.h>

#if defined(__x86_64__)
#define NATIVE_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE_ARCH AUDIT_ARCH_AARCH64
#elif defined(__riscv)
#define NATIVE_ARCH AUDIT_ARCH_RISCV64
#else
#error "a filter must know its machine: add it here"
#endif
