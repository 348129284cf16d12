// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
)

// hosts are the names and addresses by which a server may be asked. A page of somebody
// else, whose name leads to our address, is not to read the answers (DNS rebinding).
type hosts struct {
	// all is set for a socket of the file system, which no browser reaches.
	all bool
	// addresses is set for a server that listens at all addresses.
	addresses bool
	names     map[string]bool
}

// hostsOf are those of a server that listens at an address.
func hostsOf(at net.Addr, o Options) hosts {
	tcp, isTCP := at.(*net.TCPAddr)
	if !isTCP {
		return hosts{all: true}
	}
	h := hosts{addresses: tcp.IP.IsUnspecified(), names: map[string]bool{"localhost": true, plainHost(tcp.IP.String()): true}}
	names := o.Hosts
	if word, _, err := net.SplitHostPort(string(o.Listen)); err == nil && word != "" {
		names = append(names[:len(names):len(names)], word)
	}
	if own, err := os.Hostname(); err == nil && h.addresses {
		names = append(names[:len(names):len(names)], own)
	}
	for _, name := range names {
		h.names[plainHost(name)] = true
	}
	return h
}

// plainHost is a host as others write it, too: without a port, in one case.
func plainHost(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Unmap().WithZone("").String()
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

func (h hosts) has(host string) bool {
	// Browsers always say which host they mean.
	if h.all || host == "" {
		return true
	}
	plain := plainHost(host)
	_, err := netip.ParseAddr(plain)
	return h.names[plain] || h.addresses && err == nil
}

// only refuses requests for other hosts.
func (h hosts) only(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !h.has(r.Host) {
			http.Error(w, "this server does not answer for that host; xfwd serve --host NAME lets it", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}
