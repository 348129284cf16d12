// SPDX-License-Identifier: Apache-2.0

package ctl

import "slices"

// Select returns those of the forwards that the references mean, in the order
// of the forwards. A reference is a FRONTEND, which means its forwards on
// whatever devices, or a NAME. One that means nothing is ErrNotFound.
func Select(forwards []Forward, refs []string) ([]Forward, error) {
	chosen := make([]bool, len(forwards))
	for _, ref := range refs {
		match := selectName
		if !looksLikeName(ref) {
			match = selectFrontend
		}
		if err := match(forwards, ref, chosen); err != nil {
			return nil, err
		}
	}
	var selected []Forward
	for i, f := range forwards {
		if chosen[i] {
			selected = append(selected, f)
		}
	}
	return selected, nil
}

// selectKeys is Select for where forwards are looked up.
func selectKeys(forwards []Forward, refs []string) (map[frontendKey]bool, error) {
	selected, err := Select(forwards, refs)
	if err != nil {
		return nil, err
	}
	keys := map[frontendKey]bool{}
	for _, f := range selected {
		keys[f.Frontend.key()] = true
	}
	return keys, nil
}

// selectName chooses the forwards of that name.
func selectName(forwards []Forward, name string, chosen []bool) error {
	if err := checkName(name); err != nil {
		return err
	}
	found := false
	for i, f := range forwards {
		if f.Name == name {
			chosen[i], found = true, true
		}
	}
	if !found {
		return Errorf(ErrNotFound, "no forward is named %q; `xfwd list` shows what there is", name)
	}
	return nil
}

// selectFrontend chooses the forwards of that frontend, on any devices.
func selectFrontend(forwards []Forward, ref string, chosen []bool) error {
	frontends, err := ParseFrontend(ref)
	if err != nil {
		return err
	}
	for _, fe := range frontends {
		found := false
		for i, f := range forwards {
			g := f.Frontend
			g.Devices = nil
			if g.Equal(fe) {
				chosen[i], found = true, true
			}
		}
		if !found {
			return noFrontend(forwards, fe)
		}
	}
	return nil
}

// noFrontend says that a frontend does not exist, and which ones may have been
// meant: what shares a port with it, and the protocol or the address.
func noFrontend(forwards []Forward, fe Frontend) error {
	const most = 3
	var near []string
	for _, f := range forwards {
		g := f.Frontend
		if g.Ports.Overlaps(fe.Ports) && (g.Protocol == fe.Protocol || g.Address == fe.Address) &&
			!slices.Contains(near, g.String()) && len(near) < most {
			near = append(near, g.String())
		}
	}
	if len(near) == 0 {
		return Errorf(ErrNotFound, "there is no forward %s; `xfwd list` shows what there is", fe)
	}
	return Errorf(ErrNotFound, "there is no forward %s; did you mean %s?", fe, orList(near))
}
