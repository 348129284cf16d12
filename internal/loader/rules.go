// SPDX-License-Identifier: Apache-2.0

package loader

// readRules reads what the rules of netfilter do to packets that are forwarded, once.
func (h *Host) readRules() {
	if h.rulesRead {
		return
	}
	h.rulesRead = true
	h.unreadRules = h.namespace.Do(func() (err error) {
		h.rules, err = h.reader.Read()
		return err
	})
}

// MSSOfRules is the smallest MSS that a rule of netfilter sets in packets of a family
// that are forwarded; 0 is none.
func (h *Host) MSSOfRules(ipv6 bool) uint16 {
	h.readRules()
	if ipv6 {
		return h.rules.MSS6
	}
	return h.rules.MSS4
}

// UnreadRules says which rules of netfilter could not be read, and why.
func (h *Host) UnreadRules() error {
	h.readRules()
	return h.unreadRules
}

// TellRules makes the dataplane do what rules of netfilter do to packets which are
// forwarded, for those that xfwd sends on do not meet these rules.
func (d *Dataplane) TellRules(h *Host) error {
	mss4, mss6 := h.MSSOfRules(false), h.MSSOfRules(true)
	if d.Settings.MSS4 == mss4 && d.Settings.MSS6 == mss6 {
		return nil
	}
	d.Settings.MSS4, d.Settings.MSS6 = mss4, mss6
	return d.Maps.PutSettings(d.Settings)
}
