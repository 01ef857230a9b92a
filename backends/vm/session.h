/*
 * The session inside the guest is a native one: namespaces, Landlock, filter and control groups of
 * the guest's own kernel. Its plan is compiled twice from the same spec and the same facts, by the
 * server to be shown and by the guest's agent to be run; the digests must be the same.
 */
#pragma once

#include "backends/backend.h"

#define VM_ID_BASE 100000U /* first id of the session's range in the guest */
#define VM_SESSION_UID 1000U
/* What the agent says when it cannot arrive at the server's plan. At most VM_TEXT_MAX. */
#define VM_OTHER_BUILD                                                                             \
	"the guest's kit was made by another build of cloche than this server's; make it again "   \
	"(as root: cloche-make-guest; in the source tree: ./dev guest)"

/* What the server knows of the guest before it has booted. */
struct vm_facts {
	int landlock_abi;
	bool merged_usr; /* the guest's root is made of the host's directories */
	uint32_t processors;
	char kit[65]; /* digest of the files that it boots from */
};

/* The plan of the session inside. The caller frees *ret_plan. 0 or negative errno with err. */
int vm_session_compile(const struct spec *spec, const struct vm_facts *facts, uint32_t without,
	struct plan **ret_plan, struct err *err);

/* Is it a place of the host's that the session may write to? */
bool vm_session_is_scope(const struct plan_mount *mount);

/* The host that native sees inside. */
void vm_session_host(const struct vm_facts *facts, struct host *ret);

/* What the agent is sent: facts, the digest to arrive at, the spec. Caller frees. NULL: no memory. */
char *vm_session_text(const struct spec *spec, const struct vm_facts *facts, uint32_t without,
	const char *digest);

/* The reverse, into a fresh *ret_spec. 0 or negative errno with err. */
int vm_session_parse(const char *text, struct spec *ret_spec, struct vm_facts *ret_facts,
	uint32_t *ret_without, char digest[65], struct err *err);
