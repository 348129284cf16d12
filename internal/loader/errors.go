// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

var (
	// ErrNotLoaded: the namespace has no dataplane.
	ErrNotLoaded = errors.New("xfwd is not loaded in this network namespace")
	// ErrUnsupported: the kernel, its configuration or the caller's privileges
	// do not allow it.
	ErrUnsupported = errors.New("not supported here")
	// ErrNoNamespace: there is no network namespace of that name.
	ErrNoNamespace = errors.New("no such network namespace")
	// ErrBadMaxFlows: the flow table cannot have that size.
	ErrBadMaxFlows = errors.New("bad size of the flow table")
	// ErrNoSocket: a socket could not be made in the namespace, whoever it was for.
	ErrNoSocket = errors.New("no socket")
)

// kindError is one of the errors above and has a text all its own.
type kindError struct {
	error
	kind error
}

func (e kindError) Unwrap() []error { return []error{e.error, e.kind} }

func errorf(kind error, format string, args ...any) error {
	return kindError{fmt.Errorf(format, args...), kind}
}

func unsupportedf(format string, args ...any) error {
	return errorf(ErrUnsupported, format, args...)
}

// explain turns errors that have a remedy into ones that say it.
func explain(doing string, err error) error {
	var verifier *ebpf.VerifierError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &verifier):
		// Its number often is that of a lack of privileges.
		return unsupportedf("%s: the kernel's verifier does not accept them: %w", doing, err)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return unsupportedf("%s: permission denied: run xfwd as root (it needs CAP_BPF, CAP_NET_ADMIN and CAP_SYS_ADMIN)", doing)
	case errors.Is(err, ebpf.ErrNotSupported):
		return unsupportedf("%s: the kernel is too old or built without it: %w; xfwd needs Linux 5.10 or newer", doing, err)
	case errors.Is(err, unix.ENOMEM):
		return fmt.Errorf("%s: there is not enough memory for it: %w; free some, raise the limit of the control group, or choose a smaller --max-flows", doing, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}
