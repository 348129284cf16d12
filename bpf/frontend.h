/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* forward_find for packets. It is verified once, however many ask. */
#ifndef XFWD_FRONTEND_H
#define XFWD_FRONTEND_H

#include "lookup.h"
#include "scratch.h"

#define FRONTEND_WITH_ADDRESS 1U /* beside the id of the forward */
#define FRONTEND_ID_SHIFT 1

/*
 * The forward of the destination of the tuple scratch->asked, whose port has `flags`, for packets that arrive by a
 * device: its id, shifted, and FRONTEND_WITH_ADDRESS; 0 if there is none. A global function.
 */
__noinline int frontend_of_asked(__u32 ifindex, __u32 flags)
{
	struct scratch *s = scratch();
	struct destination destination = {};
	bool with_address = false;
	__u32 id;

	if (!s)
		return 0;
	destination.address = s->asked.destination;
	destination.ifindex = ifindex;
	destination.port = s->asked.destination_port;
	destination.protocol = s->asked.protocol;
	id = forward_find(&destination, flags, &with_address);
	return id ? id << FRONTEND_ID_SHIFT | with_address : 0;
}

#endif
