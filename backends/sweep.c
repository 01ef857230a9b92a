#include "backends/backend.h"
#include "backends/keeper.h"
#include "backends/linux/cgroup.h"
#include "backends/linux/idrange.h"
#include "backends/linux/subnet.h"

int backend_sweep(const struct host *host)
{
	/* Groups first: what still runs in one may still use its ids, or what its tool made. */
	int groups = cgroup_sweep(host);
	int tools = keeper_sweep(host);
	int links = host->root ? subnet_sweep() : 0;
	int ranges = idrange_sweep();

	return (groups > 0 ? groups : 0) + (tools > 0 ? tools : 0) + (links > 0 ? links : 0) +
		(ranges > 0 ? ranges : 0);
}
