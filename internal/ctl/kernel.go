// SPDX-License-Identifier: Apache-2.0

package ctl

import (
	"github.com/xfwd/xfwd/internal/maps"
)

// The words of users, and the numbers that the kernel's maps have for them.
var (
	sourceNumbers = map[Source]maps.Source{
		SourceAuto:       maps.SourceAuto,
		SourcePreserve:   maps.SourcePreserve,
		SourceMasquerade: maps.SourceMasquerade,
	}
	balanceNumbers = map[Balance]maps.Balance{
		BalanceMaglev:           maps.BalanceMaglev,
		BalanceRoundRobin:       maps.BalanceRoundRobin,
		BalanceRandom:           maps.BalanceRandom,
		BalanceLeastConnections: maps.BalanceLeastConnections,
		BalanceSourceHash:       maps.BalanceSourceHash,
	}
	ownNumbers = map[Own]maps.Own{
		OwnAuto:   maps.OwnAuto,
		OwnAlways: maps.OwnAlways,
		OwnNever:  maps.OwnNever,
	}
	checkNumbers = map[CheckKind]maps.CheckKind{
		"":        maps.CheckNone,
		CheckTCP:  maps.CheckTCP,
		CheckHTTP: maps.CheckHTTP,
		CheckUDP:  maps.CheckUDP,
	}
	healthNumbers = map[Health]maps.Health{
		"":         maps.HealthUnknown,
		HealthUp:   maps.HealthUp,
		HealthDown: maps.HealthDown,
	}
	sourceWords  = inverse(sourceNumbers)
	balanceWords = inverse(balanceNumbers)
	ownWords     = inverse(ownNumbers)
	checkWords   = inverse(checkNumbers)
	healthWords  = inverse(healthNumbers)
)

func inverse[W, N comparable](numbers map[W]N) map[N]W {
	words := make(map[N]W, len(numbers))
	for word, number := range numbers {
		words[number] = word
	}
	return words
}

// forwardFromKernel returns a forward with some of its terms, without its backends.
func forwardFromKernel(k maps.Forward, terms maps.Terms) Forward {
	return Forward{
		Name: k.Name,
		Frontend: Frontend{
			Protocol: Protocol(k.Protocol),
			Address:  k.Address,
			Ports:    PortRange{k.PortFirst, k.PortLast},
			Devices:  k.Devices,
		},
		Source: sourceWords[k.Source],

		SourceAddresses: k.SourceAddresses,

		Balance:  balanceWords[k.Balance],
		Affinity: k.Affinity,

		AffinityGroup: k.AffinityGroup,

		Own:       ownWords[terms.Own],
		Comment:   k.Comment,
		ExpiresAt: terms.ExpiresAt,
		Check:     checkFromKernel(terms.Check),
		MSS:       MSS(terms.MSS),
	}
}

// termsToKernel returns the terms of a forward, without its pools.
func termsToKernel(f Forward) maps.Terms {
	return maps.Terms{ExpiresAt: f.ExpiresAt, Check: f.Check.toKernel(), MSS: uint16(f.MSS), Own: ownNumbers[f.Own]}
}

// forwardToKernel returns a forward that has neither id nor backends yet.
func forwardToKernel(f Forward) maps.Forward {
	return maps.Forward{
		Dies:      maps.NeverDies,
		Protocol:  uint8(f.Frontend.Protocol),
		Address:   f.Frontend.Address,
		PortFirst: f.Frontend.Ports.First,
		PortLast:  f.Frontend.Ports.Last,
		Devices:   f.Frontend.Devices,
		Name:      f.Name,
		Comment:   f.Comment,
		Source:    sourceNumbers[f.Source],

		SourceAddresses: f.SourceAddresses,

		Balance:  balanceNumbers[f.Balance],
		Affinity: f.Affinity,

		AffinityGroup: f.AffinityGroup,

		After: termsToKernel(f),
	}
}

func backendFromKernel(k maps.Backend, role maps.BackendRole) Backend {
	b := Backend{
		Address: k.Address,
		Ports:   PortRange{k.PortFirst, k.PortLast},
		Weight:  role.Weight,
		State:   BackendActive,
		Health:  healthWords[role.Health],
	}
	if role.State == maps.BackendDraining {
		b.State = BackendDraining
	}
	return b
}

// roleToKernel returns what a canonical backend is to its forward.
func roleToKernel(b Backend, position int) maps.BackendRole {
	role := maps.BackendRole{
		Position: uint32(position),
		Weight:   b.Weight,
		State:    maps.BackendActive,
		Health:   healthNumbers[b.Health],
	}
	if b.State == BackendDraining {
		role.State = maps.BackendDraining
	}
	return role
}
