// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/xfwd/xfwd/test/lab"
)

// nginxPage is what startNginx serves.
const nginxPage = "served by nginx\n"

// startNginx serves nginxPage and returns the file of its access log: a line for
// each request with the client's address.
func startNginx(t *testing.T, at *lab.Namespace, port int) (accessLog string) {
	t.Helper()
	dir := t.TempDir()
	accessLog = filepath.Join(dir, "access.log")
	config := filepath.Join(dir, "nginx.conf")
	text := fmt.Sprintf(`
daemon off;
user root;
worker_processes 1;
pid %[1]s/pid;
error_log stderr;
events { worker_connections 1024; }
http {
	log_format client '$remote_addr';
	access_log %[2]s client;
	server {
		listen %[3]d;
		listen [::]:%[3]d;
		location / { return 200 "%[4]s"; }
	}
}
`, dir, accessLog, port, strings.TrimSuffix(nginxPage, "\n")+`\n`)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	server := at.Start("nginx", "-c", config, "-p", dir)
	lab.Eventually(t, lab.Patience, func() error {
		if !server.Running() {
			t.Fatalf("nginx ended: %s", &server.Stderr)
		}
		conn, err := at.Dial("tcp", netip.AddrPortFrom(netip.IPv6Loopback(), uint16(port)), anyPort)
		if err == nil {
			conn.Close()
		}
		return err
	})
	return accessLog
}

// xfwd add 80 30080 in front of nginx: curl is answered, and nginx's log has the
// client's address.
func TestNginxSeesTheClient(t *testing.T) {
	t.Parallel()
	lab.Need(t, "nginx", "curl")
	lan := lab.New(t).Direct()
	accessLog := startNginx(t, lan.Host, 30080)
	lan.Host.XFWD().Add("80", "30080")
	var want strings.Builder
	for _, host := range lan.HostAddr.All() {
		url := "http://" + net.JoinHostPort(host.String(), "80") + "/"
		page := lan.Client.Run("curl", "-sS", "--noproxy", "*", "--max-time", "3", url)
		if page != nginxPage {
			t.Errorf("%s answered %q", url, page)
		}
		fmt.Fprintln(&want, lan.ClientAddr.Of(host))
	}
	// It writes a line when the client has its page already.
	lab.Eventually(t, lab.Patience, func() error {
		log, err := os.ReadFile(accessLog)
		if err == nil && string(log) != want.String() {
			err = fmt.Errorf("nginx's log has %q, want %q", log, want.String())
		}
		return err
	})
}
