/*
 * The files a machine boots from: kernel, initrd, relay, and a manifest that says what they are.
 * tools/make-guest makes them; whoever can write to them can read what sessions do.
 */
#pragma once

#include "backends/host.h"

#define VM_KIT_VERSION 2
#define VM_KIT_VARIABLE "CLOCHE_GUEST_DIR" /* of the server's own environment: another place */

/* Looks for the kit and for KVM. Always succeeds: what is not there is said in *ret. */
void vm_kit_probe(struct host_guest *ret);

/* Reads a manifest's text. 0 or -EINVAL. */
int vm_kit_parse(const char *text, struct host_guest *ret);
