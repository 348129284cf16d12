// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"archive/tar"
	"bytes"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// enginePatience bounds how long a container engine takes to start, and to stop.
const enginePatience = 30 * time.Second

// Docker is a Docker engine that has a namespace and its containers to itself.
type Docker struct {
	at     *Namespace
	socket string
}

// Docker starts a Docker engine in the namespace, with more of its flags. Images and
// containers go with the test. There is one image, "echo", whose program serves an
// Echo at each address of its arguments, TCP and UDP.
func (n *Namespace) Docker(flags ...string) *Docker {
	n.lab.tb.Helper()
	Need(n.lab.tb, "dockerd", "docker", "iptables")
	// A socket's path must be short.
	dir, err := os.MkdirTemp("", prefix)
	if err != nil {
		n.lab.tb.Fatalf("%v", err)
	}
	n.lab.tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			n.lab.tb.Errorf("removing what Docker has left: %v", err)
		}
	})
	d := &Docker{at: n, socket: "unix://" + filepath.Join(dir, "socket")}
	arguments := append([]string{
		"--host", d.socket, "--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "exec"),
		"--pidfile", filepath.Join(dir, "pid"), "--log-level", "warn",
	}, flags...)
	engine := n.start(exec.Command("dockerd", arguments...))
	n.lab.tb.Cleanup(func() { d.stop(engine) })
	Eventually(n.lab.tb, enginePatience, func() error {
		_, err := d.try("version")
		return err
	})
	d.importEcho(filepath.Join(dir, "echo"))
	return d
}

// stop removes all containers, so that nothing of theirs stays mounted, and ends the
// engine.
func (d *Docker) stop(engine *Process) {
	if all, err := d.try("ps", "--all", "--quiet"); err == nil && all != "" {
		if _, err := d.try(append([]string{"rm", "--force"}, strings.Fields(all)...)...); err != nil {
			d.at.lab.tb.Errorf("removing containers: %v", err)
		}
	}
	_ = engine.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-engine.ended:
	case <-time.After(enginePatience):
		d.at.lab.tb.Errorf("Docker does not stop")
		engine.Kill()
	}
	if d.at.lab.tb.Failed() {
		d.at.lab.tb.Logf("Docker wrote:\n%s%s", &engine.Stdout, &engine.Stderr)
	}
}

// importEcho makes the image, of nothing but a program that is built at a path.
func (d *Docker) importEcho(program string) {
	d.at.lab.tb.Helper()
	build := exec.Command("go", "build", "-o", program, "github.com/xfwd/xfwd/test/lab/echo")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		d.at.lab.tb.Fatalf("%s: %v\n%s", build, err, output)
	}
	content, err := os.ReadFile(program)
	if err != nil {
		d.at.lab.tb.Fatalf("%v", err)
	}
	var image bytes.Buffer
	archive := tar.NewWriter(&image)
	if err := archive.WriteHeader(&tar.Header{Name: "echo", Mode: 0o755, Size: int64(len(content))}); err != nil {
		d.at.lab.tb.Fatalf("%v", err)
	}
	if _, err := archive.Write(content); err != nil {
		d.at.lab.tb.Fatalf("%v", err)
	}
	if err := archive.Close(); err != nil {
		d.at.lab.tb.Fatalf("%v", err)
	}
	load := exec.Command("docker", "--host", d.socket, "import", "--change", `ENTRYPOINT ["/echo"]`, "-", "echo")
	load.Stdin = &image
	if output, err := load.CombinedOutput(); err != nil {
		d.at.lab.tb.Fatalf("%s: %v\n%s", load, err, output)
	}
}

// Do runs a command of docker and returns what it prints.
func (d *Docker) Do(args ...string) string {
	d.at.lab.tb.Helper()
	output, err := d.try(args...)
	if err != nil {
		d.at.lab.tb.Fatalf("%v", err)
	}
	return output
}

func (d *Docker) try(args ...string) (string, error) {
	output, err := d.at.Try("docker", append([]string{"--host", d.socket}, args...)...)
	return strings.TrimSpace(output), err
}

// Container is one that runs.
type Container struct {
	// Namespace is that of its processes.
	*Namespace
	ID   string
	Addr netip.Addr
}

// Run starts a container that serves an Echo at port 8080, with more flags of `docker
// run`.
func (d *Docker) Run(role string, flags ...string) *Container {
	d.at.lab.tb.Helper()
	c := &Container{ID: d.Do(append(append([]string{"run", "--detach"}, flags...), "echo", ":8080")...)}
	inspect := func(what string) string {
		return d.Do("inspect", "--format", "{{"+what+"}}", c.ID)
	}
	pid, err := strconv.Atoi(inspect(".State.Pid"))
	if err != nil || pid == 0 {
		d.at.lab.tb.Fatalf("the container does not run: %s", d.Do("logs", c.ID))
	}
	if c.Addr, err = netip.ParseAddr(inspect("range .NetworkSettings.Networks}}{{.IPAddress}}{{end")); err != nil {
		d.at.lab.tb.Fatalf("the container has no address: %v", err)
	}
	c.Namespace = d.at.lab.NamespaceOf(pid, role)
	return c
}
