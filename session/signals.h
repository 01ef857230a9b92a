/* Signals by the names that SSH has for them (RFC 4254, 6.10). */
#pragma once

/* The name to tell a client; what SSH has no name for gets one of ours. Static. */
const char *signals_name(int number);

/* The number of "TERM"; 0: no such name. */
int signals_number(const char *name);
