// SPDX-License-Identifier: Apache-2.0

// Package load is the traffic of the benchmark: one server and one client,
// each a process of its own with a single thread that does little more than
// the system calls which the work needs.
//
// They are this lean on purpose. What a forwarder costs is added to what the
// ends of the connection cost; the less the ends cost, the larger the
// forwarder's share, so a lean end is the stricter judge. That is also why
// the system calls are made raw: the Go scheduler need not hear of them.
//
// The server speaks just enough HTTP that another server or client can take
// the place of either end: GET /N is answered with N bytes, PUT /N takes N
// bytes, an HTTP/1.0 request closes the connection after its answer. Its UDP
// port echoes.
package load
