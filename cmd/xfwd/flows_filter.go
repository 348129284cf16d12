// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/xfwd/xfwd/internal/ctl"
)

// flowFilterFlags are those that addFlowFilter declares.
var flowFilterFlags = []string{"client", "target", "protocol", "state", "idle"}

// addFlowFilter declares the flags that say which flows are meant.
func addFlowFilter(cmd *cobra.Command, filter *ctl.FlowFilter) {
	f := cmd.Flags()
	f.Var(endpointFilter{&filter.Client}, "client", "of clients with this `address`, prefix, :port or both")
	f.Var(endpointFilter{&filter.Target}, "target", "to targets with this `address`, prefix, :port or both")
	f.Var(protocolFilter{&filter.Protocol}, "protocol", "of this `protocol`: tcp or udp")
	f.Var(choicesOf(&filter.States, ctl.FlowStates()), "state", "in this `state`; repeatable")
	f.Var(duration{&filter.Idle, time.Second, "5m"}, "idle", "idle for this `duration` at least")
	complete(cmd, "protocol", protocols)
	complete(cmd, "state", ctl.FlowStates())
	for _, flag := range []string{"client", "target", "idle"} {
		complete[string](cmd, flag, nil)
	}
}

// flowFilterGiven says whether the user has given any of these flags.
func flowFilterGiven(cmd *cobra.Command) bool {
	return slices.ContainsFunc(flowFilterFlags, cmd.Flags().Changed)
}

// endpointFilter is the value of --client and --target.
type endpointFilter struct{ value *ctl.EndpointFilter }

func (e endpointFilter) Type() string { return "address" }

func (e endpointFilter) String() string {
	if e.value == nil {
		return ""
	}
	return e.value.String()
}

func (e endpointFilter) Set(word string) (err error) {
	*e.value, err = ctl.ParseEndpointFilter(word)
	return err
}

// protocols are the choices of --protocol.
var protocols = []string{ctl.TCP.String(), ctl.UDP.String()}

// protocolFilter is the value of --protocol.
type protocolFilter struct{ value *ctl.Protocol }

func (p protocolFilter) Type() string { return "protocol" }

func (p protocolFilter) String() string {
	if p.value == nil || *p.value == 0 {
		return ""
	}
	return p.value.String()
}

func (p protocolFilter) Set(word string) error {
	var chosen string
	if err := choiceOf(&chosen, protocols).Set(word); err != nil {
		return err
	}
	*p.value = ctl.TCP
	if chosen == ctl.UDP.String() {
		*p.value = ctl.UDP
	}
	return nil
}
