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
#include "scratch.h"

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

/* What the first packet of a direction tells; a datagram, which has no flags, tells nothing. Without branches, each of which
 * would be two cases for the verifier wherever a flow is made.
 */
static __always_inline void sequence_learn(struct said *own, const struct packet *p)
{
	bool syn = p->tcp_flags & TCP_FLAG_SYN, rst = p->tcp_flags & TCP_FLAG_RST,
	     ack = p->tcp_flags & TCP_FLAG_ACK;

	own->next = sequence_end(p);
	own->acknowledged = p->acknowledged;
	own->sent = ((syn | ack) * FLOW_SENT_SEQUENCE | ack * FLOW_SENT_ACK) * !rst;
}

/* What one direction has told, as far as the other one may be supposed to know it. */
static __always_inline void sequence_turn(struct said *own, const struct said *other)
{
	own->next = other->acknowledged;
	own->acknowledged = other->next;
	own->sent = !!(other->sent & FLOW_SENT_ACK) * FLOW_SENT_SEQUENCE |
		    !!(other->sent & FLOW_SENT_SEQUENCE) * FLOW_SENT_ACK;
}

/* Whether a packet of an established flow is what most are: one that changes nothing but the numbers. */
static __always_inline bool sequence_is_plain(const struct flow *flow, const struct packet *p)
{
	const struct said *own = &flow->said;
	const __u8 flags = TCP_FLAG_FIN | TCP_FLAG_SYN | TCP_FLAG_RST | TCP_FLAG_ACK;

	return (p->tcp_flags & flags) == TCP_FLAG_ACK && own->sent == FLOW_SENT_NUMBERS &&
	       !(flow->flags & FLOW_ENDINGS) && own->next - p->sequence <= SEQUENCE_WINDOW &&
	       sequence_is_near(p->acknowledged, own->acknowledged);
}

static __always_inline void sequence_advance(struct said *own, const struct packet *p)
{
	__u32 end = sequence_end(p);

	if (!sequence_is_after(p->sequence, own->next) && sequence_is_after(end, own->next))
		own->next = end;
	if (sequence_is_after(p->acknowledged, own->acknowledged))
		own->acknowledged = p->acknowledged;
}

/* Whether numbers of a packet are such as the other direction knows; what it does not know cannot be wrong. */
static __always_inline bool sequence_is_plausible(const struct packet *p, const struct said *other)
{
	if ((other->sent & FLOW_SENT_ACK) && !sequence_is_near(p->sequence, other->acknowledged))
		return false;
	return !(other->sent & FLOW_SENT_SEQUENCE) ||
	       other->next - p->acknowledged <= CONFIRM_WINDOW;
}

/* Whether a packet from the client shows that it received what the target sent. */
static __always_inline bool sequence_confirms(const struct packet *p, const struct said *other)
{
	const __u8 flags = TCP_FLAG_SYN | TCP_FLAG_RST | TCP_FLAG_ACK;

	return (p->tcp_flags & flags) == TCP_FLAG_ACK && (other->sent & FLOW_SENT_SEQUENCE) &&
	       sequence_is_plausible(p, other);
}

/*
 * Whether a RST fits: it has the very number that its receiver expects, as far as that has told (RFC 5961 3.2), or its sender
 * has come to. A SYN is refused by a RST that acknowledges it (RFC 9293 3.5.2).
 */
static __always_inline bool sequence_resets(const struct said *own, const struct packet *p,
					    const struct said *other)
{
	if ((other->sent & FLOW_SENT_ACK) && p->sequence == other->acknowledged)
		return true;
	if (own->sent & FLOW_SENT_SEQUENCE)
		return p->sequence == own->next;
	return (p->tcp_flags & TCP_FLAG_ACK) && (other->sent & FLOW_SENT_SEQUENCE) &&
	       p->acknowledged == other->next;
}

/*
 * A SYN, and a SYN that acknowledges one, begin a connection. Where there is one already, the target knows whether it
 * still is: only if it answers with a SYN of its own, the numbers begin anew.
 */
static __always_inline bool sequence_opens(struct said *own, const struct packet *p,
					   struct said *other, bool reverse, bool established)
{
	if (reverse != !!(p->tcp_flags & TCP_FLAG_ACK))
		return false;
	if (!reverse) {
		if (established)
			own->sent |= FLOW_SENT_SYN;
		else
			sequence_learn(own, p);
		return true;
	}
	if (!established) {
		if (!(other->sent & FLOW_SENT_SEQUENCE) ||
		    other->next - p->acknowledged > CONFIRM_WINDOW)
			return false;
		sequence_learn(own, p);
		return true;
	}
	if (!(other->sent & FLOW_SENT_SYN))
		return false;
	sequence_learn(own, p);
	sequence_turn(other, own);
	return true;
}

/*
 * Follows the segment in scratch, which is no plain one: what its direction has told is there, and what the other one has.
 * Returns whether the segment fits. If not, nothing has changed but what others have told of it. A global function, which
 * the verifier checks once.
 */
__noinline int sequence_follow(int reverse, int established, int closed)
{
	struct scratch *s = scratch();
	struct said *own, *other;
	const struct packet *p;
	bool news;
	__u32 end;

	if (!s)
		return false;
	p = &s->packet;
	own = &s->own;
	other = &s->other;
	if ((own->sent & FLOW_SENT_SEQUENCE) && (other->sent & FLOW_SENT_ACK) &&
	    sequence_is_after(other->acknowledged, own->next))
		own->next = other->acknowledged;
	barrier();
	if (p->tcp_flags & TCP_FLAG_RST) {
		if (!sequence_resets(own, p, other))
			return false;
		own->sent |= FLOW_SENT_RESET;
		return true;
	}
	if (p->tcp_flags & TCP_FLAG_SYN)
		return !closed && sequence_opens(own, p, other, reverse, established);
	if (!(p->tcp_flags & TCP_FLAG_ACK))
		return false;
	if ((own->sent & FLOW_SENT_NUMBERS) != FLOW_SENT_NUMBERS) {
		/* What the other direction has not sent cannot be acknowledged. */
		if ((own->sent && !(other->sent & FLOW_SENT_SEQUENCE)) ||
		    !sequence_is_plausible(p, other))
			return false;
		own->next = p->sequence;
		own->acknowledged = p->acknowledged;
		own->sent |= FLOW_SENT_NUMBERS;
	} else if (!sequence_is_near(p->sequence, own->next) ||
		   (!sequence_is_near(p->acknowledged, own->acknowledged) &&
		    !((other->sent & FLOW_SENT_SEQUENCE) &&
		      other->next - p->acknowledged <= SEQUENCE_WINDOW))) {
		return false;
	}
	/* Read again, the numbers are any of their values at once and not a case of its own for each comparison. */
	barrier();
	own->sent &= ~FLOW_SENT_SYN;
	end = sequence_end(p);
	news = !sequence_is_after(p->sequence, own->next) && sequence_is_after(end, own->next);
	/* Who has closed sends nothing more: so it was somebody else. */
	if ((own->sent & FLOW_SENT_FIN) && news && sequence_is_after(end, own->fin))
		own->sent &= ~(FLOW_SENT_FIN | FLOW_SENT_FIN_FIRST);
	barrier();
	/* Likewise who has reset. What is only late tells no news. */
	if (news || sequence_is_after(p->acknowledged, own->acknowledged))
		own->sent &= ~FLOW_SENT_RESET;
	barrier();
	if ((p->tcp_flags & TCP_FLAG_FIN) && !(own->sent & FLOW_SENT_FIN)) {
		own->fin = end;
		own->sent |=
			FLOW_SENT_FIN | (other->sent & FLOW_SENT_FIN ? 0 : FLOW_SENT_FIN_FIRST);
	}
	barrier();
	if ((other->sent & FLOW_SENT_FIN) && !sequence_is_after(other->fin, p->acknowledged))
		own->sent |= FLOW_SENT_LAST_ACK;
	barrier();
	sequence_advance(own, p);
	return true;
}

/*
 * Whether a segment with a number may be on its way, so that an error can be about it (RFC 5927 4): it is of the direction
 * that `sender` knows, and what `receiver` knows are the answers.
 */
static __always_inline bool sequence_is_on_its_way(__u32 number, const struct said *sender,
						   const struct said *receiver)
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
