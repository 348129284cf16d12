// SPDX-License-Identifier: Apache-2.0

package model

const (
	// sequenceWindow is how far a segment may be from what is known of its direction.
	sequenceWindow = 1 << 24
	// confirmWindow is how far a client may lag behind in acknowledging what the
	// server has sent, and still confirm the connection.
	confirmWindow = 1 << 20
)

// Said is what the segments of one direction of a TCP connection have said.
type Said struct {
	// Next is the sequence number behind what they have carried, Acknowledged what
	// they have acknowledged; HasNext and HasAcknowledged say whether that is known.
	Next, Acknowledged       uint32
	HasNext, HasAcknowledged bool

	// HasFIN: FIN is the number behind their FIN. FINFirst: the other direction had
	// sent none. LastAck: they have acknowledged the other direction's.
	FIN                       uint32
	HasFIN, FINFirst, LastAck bool
	// Reset: a RST that fits came. SYN: another one did, after the connection was
	// established.
	Reset, SYN bool
}

func after(number, other uint32) bool { return int32(number-other) > 0 }

func near(number, known uint32) bool { return number-known+sequenceWindow <= 2*sequenceWindow }

func (p packet) sequenceEnd() uint32 { return p.sequence + p.adds }

// learned is what the first segment of a direction says.
func learned(p packet) Said {
	var s Said
	if p.tuple.Protocol != protocolTCP || p.flags&flagRST != 0 {
		return s
	}
	if p.flags&(flagSYN|flagACK) != 0 {
		s.Next, s.HasNext = p.sequenceEnd(), true
	}
	if p.flags&flagACK != 0 {
		s.Acknowledged, s.HasAcknowledged = p.acknowledged, true
	}
	return s
}

// turned is what the other direction may be supposed to have said.
func (s Said) turned() Said {
	return Said{Next: s.Acknowledged, HasNext: s.HasAcknowledged, Acknowledged: s.Next, HasAcknowledged: s.HasNext}
}

// plausible says whether a segment's numbers are such as the other direction knows.
func (s Said) plausible(p packet) bool {
	return (!s.HasAcknowledged || near(p.sequence, s.Acknowledged)) && (!s.HasNext || s.Next-p.acknowledged <= confirmWindow)
}

// confirms says whether a client's segment shows that it has received what the other
// direction sent.
func (s Said) confirms(p packet) bool {
	return p.flags&(flagSYN|flagRST|flagACK) == flagACK && s.HasNext && s.plausible(p)
}

// isPlain says whether a segment is what most are. The programs do not look at what the
// other direction has said then, which changes nothing yet.
func (s side) isPlain(p packet) bool {
	own := s.said[s.direction]
	numbers := Said{Next: own.Next, HasNext: true, Acknowledged: own.Acknowledged, HasAcknowledged: true, FIN: own.FIN}
	ended := s.Reset() || s.FinForward() || s.FinReverse()
	return s.Established && p.flags&(flagFIN|flagSYN|flagRST|flagACK) == flagACK && own == numbers && !ended &&
		own.Next-p.sequence <= sequenceWindow && near(p.acknowledged, own.Acknowledged)
}

// hear follows a segment of a direction. It returns whether the segment fits; if not,
// nothing has changed.
func (s side) hear(p packet) bool {
	own, other := &s.said[s.direction], &s.said[1-s.direction]
	if !s.isPlain(p) && own.HasNext && other.HasAcknowledged && after(other.Acknowledged, own.Next) {
		own.Next = other.Acknowledged // something was lost before it came here
	}
	switch {
	case p.flags&flagRST != 0:
		fits := other.HasAcknowledged && p.sequence == other.Acknowledged
		if own.HasNext {
			fits = fits || p.sequence == own.Next
		} else {
			fits = fits || p.flags&flagACK != 0 && other.HasNext && p.acknowledged == other.Next
		}
		own.Reset = own.Reset || fits
		return fits
	case p.flags&flagSYN != 0:
		return s.hearSYN(p, own, other)
	case p.flags&flagACK == 0:
		return false
	}
	if !own.HasNext || !own.HasAcknowledged {
		if *own != (Said{}) && !other.HasNext || !other.plausible(p) {
			return false
		}
		own.Next, own.HasNext = p.sequence, true
		own.Acknowledged, own.HasAcknowledged = p.acknowledged, true
	} else if !near(p.sequence, own.Next) ||
		!near(p.acknowledged, own.Acknowledged) && !(other.HasNext && other.Next-p.acknowledged <= sequenceWindow) {
		return false
	}
	own.SYN = false
	end := p.sequenceEnd()
	news := !after(p.sequence, own.Next) && after(end, own.Next)
	if own.HasFIN && news && after(end, own.FIN) {
		own.HasFIN, own.FINFirst = false, false // who has closed sends nothing more
	}
	if news || after(p.acknowledged, own.Acknowledged) {
		own.Reset = false
	}
	if p.flags&flagFIN != 0 && !own.HasFIN {
		own.FIN, own.HasFIN = end, true
		own.FINFirst = own.FINFirst || !other.HasFIN
	}
	if other.HasFIN && !after(other.FIN, p.acknowledged) {
		own.LastAck = true
	}
	if news {
		own.Next = end
	}
	if after(p.acknowledged, own.Acknowledged) {
		own.Acknowledged = p.acknowledged
	}
	return true
}

// mayFail says whether an error can be about a segment with a number, which one of the
// side answers.
func (s side) mayFail(number uint32) bool {
	const largestSegment = 1 << 16
	sender, receiver := s.said[1-s.direction], s.said[s.direction]
	if !sender.HasNext {
		return false
	}
	behind, unacknowledged := sender.Next, uint32(0)
	if receiver.HasAcknowledged {
		if after(receiver.Acknowledged, behind) {
			behind = receiver.Acknowledged
		}
		unacknowledged = behind - receiver.Acknowledged
	}
	return behind-number <= unacknowledged+largestSegment
}

// hearSYN: a connection begins, or the answer says so. Where there is one, only a SYN of
// the target after one of the client tells that it has ended.
func (s side) hearSYN(p packet, own, other *Said) bool {
	switch answers := p.flags&flagACK != 0; {
	case s.closed() || answers != (s.direction == reverse):
		return false
	case !answers && s.Established:
		own.SYN = true
	case !answers:
		*own = learned(p)
	case s.Established:
		if !other.SYN {
			return false
		}
		*own = learned(p)
		*other = own.turned()
	default:
		if !other.HasNext || other.Next-p.acknowledged > confirmWindow {
			return false
		}
		*own = learned(p)
	}
	return true
}
