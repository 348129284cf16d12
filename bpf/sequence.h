/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The sequence numbers of a TCP connection. What closes it must fit them, or whoever knows its tuple could close it
 * from anywhere (RFC 5961, RFC 7857 2.2). What does not fit is passed on, for the end that receives it knows better,
 * and changes nothing here.
 *
 * Each direction's numbers are in its own entry, and only its own packets write them, so that CPUs need not wait for each
 * other. The next number moves on with what comes next and nothing else: to move it, a packet must hit the few bytes before
 * it. Where something was lost before it came to us, the other direction's acknowledgement tells in the end.
 */
#ifndef XFWD_SEQUENCE_H
#define XFWD_SEQUENCE_H

#include "abi.h"
#include "parse.h"

/* How far a packet may be from the numbers that are known, in bytes: more than the windows that hosts open by themselves. */
#define SEQUENCE_WINDOW (1 << 24)

/* How far a client may lag behind in acknowledging what the server sent, in bytes, and still confirm the
 * flow: more than a handshake needs, and a guess from outside hits it once in 4096 tries.
 */
#define CONFIRM_WINDOW (1 << 20)

/* How much before what was acknowledged an error may be about, in bytes: the largest segment that a sender hands on. */
#define LARGEST_SEGMENT (1 << 16)

#define FLOW_SENT_NUMBERS (FLOW_SENT_SEQUENCE | FLOW_SENT_ACK)
#define FLOW_FINS (FLOW_FIN_FORWARD | FLOW_FIN_REVERSE)
#define FLOW_ENDINGS (FLOW_FINS | FLOW_RESET)

/* Numbers begin anew after the highest, so one is after another if it is by the shorter way. */
static __always_inline bool sequence_is_after(__u32 number, __u32 other)
{
	return (__s32)(number - other) > 0;
}

static __always_inline bool sequence_is_near(__u32 number, __u32 known)
{
	return number - known + SEQUENCE_WINDOW <= 2 * SEQUENCE_WINDOW;
}

/* The number behind the last byte of a segment, SYN and FIN included. */
static __always_inline __u32 sequence_end(const struct packet *p)
{
	return p->sequence + p->sequence_length;
}

/* What the first packet of a direction tells. */
static __always_inline void sequence_learn(struct flow *flow, const struct packet *p)
{
	flow->sent = 0;
	if (p->tuple.protocol != IPPROTO_TCP || (p->tcp_flags & TCP_FLAG_RST))
		return;
	if (p->tcp_flags & (TCP_FLAG_SYN | TCP_FLAG_ACK)) {
		flow->next = sequence_end(p);
		flow->sent |= FLOW_SENT_SEQUENCE;
	}
	if (p->tcp_flags & TCP_FLAG_ACK) {
		flow->acknowledged = p->acknowledged;
		flow->sent |= FLOW_SENT_ACK;
	}
}

/* What one direction has told, as far as the other one may be supposed to know it. */
static __always_inline void sequence_turn(struct flow *flow, const struct flow *other)
{
	flow->next = other->acknowledged;
	flow->acknowledged = other->next;
	flow->sent = (other->sent & FLOW_SENT_ACK ? FLOW_SENT_SEQUENCE : 0) |
		     (other->sent & FLOW_SENT_SEQUENCE ? FLOW_SENT_ACK : 0);
}

/* Whether a packet of an established flow is what most are: one that changes nothing but the numbers. */
static __always_inline bool sequence_is_plain(const struct flow *flow, const struct packet *p)
{
	const __u8 flags = TCP_FLAG_FIN | TCP_FLAG_SYN | TCP_FLAG_RST | TCP_FLAG_ACK;

	return (p->tcp_flags & flags) == TCP_FLAG_ACK && flow->sent == FLOW_SENT_NUMBERS &&
	       !(flow->flags & FLOW_ENDINGS) && flow->next - p->sequence <= SEQUENCE_WINDOW &&
	       sequence_is_near(p->acknowledged, flow->acknowledged);
}

static __always_inline void sequence_advance(struct flow *flow, const struct packet *p)
{
	__u32 end = sequence_end(p);

	if (!sequence_is_after(p->sequence, flow->next) && sequence_is_after(end, flow->next))
		flow->next = end;
	if (sequence_is_after(p->acknowledged, flow->acknowledged))
		flow->acknowledged = p->acknowledged;
}

/* Whether numbers of a packet are such as the other direction knows; what it does not know cannot be wrong. `told` is
 * what it has told, FLOW_SENT_*.
 */
static __always_inline bool sequence_is_plausible(const struct packet *p, const struct flow *other,
						  __u8 told)
{
	if ((told & FLOW_SENT_ACK) && !sequence_is_near(p->sequence, other->acknowledged))
		return false;
	return !(told & FLOW_SENT_SEQUENCE) || other->next - p->acknowledged <= CONFIRM_WINDOW;
}

/* Whether a packet from the client shows that it received what the target sent. */
static __always_inline bool sequence_confirms(const struct packet *p, const struct flow *other,
					      __u8 told)
{
	const __u8 flags = TCP_FLAG_SYN | TCP_FLAG_RST | TCP_FLAG_ACK;

	return (p->tcp_flags & flags) == TCP_FLAG_ACK && (told & FLOW_SENT_SEQUENCE) &&
	       sequence_is_plausible(p, other, told);
}

/*
 * Whether a RST fits: it has the very number that its receiver expects, as far as that has told (RFC 5961 3.2), or its sender
 * has come to. A SYN is refused by a RST that acknowledges it (RFC 9293 3.5.2).
 */
static __always_inline bool sequence_resets(const struct flow *flow, const struct packet *p,
					    const struct flow *other, __u8 told)
{
	if ((told & FLOW_SENT_ACK) && p->sequence == other->acknowledged)
		return true;
	if (flow->sent & FLOW_SENT_SEQUENCE)
		return p->sequence == flow->next;
	return (p->tcp_flags & TCP_FLAG_ACK) && (told & FLOW_SENT_SEQUENCE) &&
	       p->acknowledged == other->next;
}

/*
 * A SYN, and a SYN that acknowledges one, begin a connection. Where there is one already, the target knows whether it
 * still is: only if it answers with a SYN of its own, the numbers begin anew.
 */
static __always_inline bool sequence_opens(struct flow *flow, const struct packet *p,
					   struct flow *other, __u8 told, bool established)
{
	bool reverse = flow->flags & FLOW_REVERSE;

	if (reverse != !!(p->tcp_flags & TCP_FLAG_ACK))
		return false;
	if (!reverse) {
		if (established)
			flow->sent |= FLOW_SENT_SYN;
		else
			sequence_learn(flow, p);
		return true;
	}
	if (!established) {
		if (!(told & FLOW_SENT_SEQUENCE) || other->next - p->acknowledged > CONFIRM_WINDOW)
			return false;
		sequence_learn(flow, p);
		return true;
	}
	if (!(told & FLOW_SENT_SYN))
		return false;
	sequence_learn(flow, p);
	sequence_turn(other, flow);
	return true;
}

/*
 * Follows a segment of a flow that is no plain one, of which `other` is the other direction's entry and has told `told`.
 * Returns whether the segment fits. If not, nothing has changed.
 */
static __always_inline bool sequence_follow(struct flow *flow, const struct packet *p,
					    struct flow *other, __u8 told, bool established,
					    bool closed)
{
	bool news, fin;
	__u32 end;

	if ((flow->sent & FLOW_SENT_SEQUENCE) && (told & FLOW_SENT_ACK) &&
	    sequence_is_after(other->acknowledged, flow->next))
		flow->next = other->acknowledged;
	if (p->tcp_flags & TCP_FLAG_RST) {
		if (!sequence_resets(flow, p, other, told))
			return false;
		flow->sent |= FLOW_SENT_RESET;
		return true;
	}
	if (p->tcp_flags & TCP_FLAG_SYN)
		return !closed && sequence_opens(flow, p, other, told, established);
	if (!(p->tcp_flags & TCP_FLAG_ACK))
		return false;
	if ((flow->sent & FLOW_SENT_NUMBERS) != FLOW_SENT_NUMBERS) {
		/* What the other direction has not sent cannot be acknowledged. */
		if ((flow->sent && !(told & FLOW_SENT_SEQUENCE)) ||
		    !sequence_is_plausible(p, other, told))
			return false;
		flow->next = p->sequence;
		flow->acknowledged = p->acknowledged;
		flow->sent |= FLOW_SENT_NUMBERS;
	} else if (!sequence_is_near(p->sequence, flow->next) ||
		   (!sequence_is_near(p->acknowledged, flow->acknowledged) &&
		    !((told & FLOW_SENT_SEQUENCE) &&
		      other->next - p->acknowledged <= SEQUENCE_WINDOW))) {
		return false;
	}
	flow->sent &= ~FLOW_SENT_SYN;
	end = sequence_end(p);
	fin = p->tcp_flags & TCP_FLAG_FIN;
	news = !sequence_is_after(p->sequence, flow->next) && sequence_is_after(end, flow->next);
	/* Who has closed sends nothing more: so it was somebody else. */
	if ((flow->sent & FLOW_SENT_FIN) && news && sequence_is_after(end, flow->fin))
		flow->sent &= ~(FLOW_SENT_FIN | FLOW_SENT_FIN_FIRST);
	/* Likewise who has reset. What is only late tells no news. */
	if (news || sequence_is_after(p->acknowledged, flow->acknowledged))
		flow->sent &= ~FLOW_SENT_RESET;
	if (fin && !(flow->sent & FLOW_SENT_FIN)) {
		flow->fin = end;
		flow->sent |= FLOW_SENT_FIN | (told & FLOW_SENT_FIN ? 0 : FLOW_SENT_FIN_FIRST);
	}
	if ((told & FLOW_SENT_FIN) && !sequence_is_after(other->fin, p->acknowledged))
		flow->sent |= FLOW_SENT_LAST_ACK;
	sequence_advance(flow, p);
	return true;
}

/*
 * Whether a segment with a number may be on its way, so that an error can be about it (RFC 5927 4): it is of the direction
 * that `sender` knows, and what `receiver` knows are the answers.
 */
static __always_inline bool sequence_is_on_its_way(__u32 number, const struct flow *sender,
						   const struct flow *receiver)
{
	__u32 behind = sender->next, unacknowledged = 0;

	if (!(sender->sent & FLOW_SENT_SEQUENCE))
		return false;
	if (receiver->sent & FLOW_SENT_ACK) {
		if (sequence_is_after(receiver->acknowledged, behind))
			behind = receiver->acknowledged;
		unacknowledged = behind - receiver->acknowledged;
	}
	return behind - number <= unacknowledged + LARGEST_SEGMENT;
}

#endif
