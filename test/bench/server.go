// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"fmt"
	"os/exec"
	"path/filepath"

	"github.com/xfwd/xfwd/test/bench/load"
)

// server answers where a site has it listen.
type server func(s *site) *process

// leanServer is load.Serve, which does all kinds of work.
func leanServer(s *site) *process {
	args := []string{roleServer}
	for _, at := range s.listen {
		args = append(args, at.String())
	}
	command := end(args...)
	stdout, err := command.StdoutPipe()
	if err != nil {
		s.tb.Fatalf("%v", err)
	}
	p := spawn(s.tb, s.server, s.cpus, command)
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		s.tb.Fatalf("waiting for the server to listen: %v", err)
	}
	return p
}

// nginxServer serves a small file from the disk's cache, as one process. It
// answers requests only.
func nginxServer(s *site) *process {
	dir := s.scratch()
	config := fmt.Sprintf(`
daemon off;
master_process off;
pid %[1]s/pid;
events {}
http {
	access_log off;
	keepalive_requests 1000000000;
	client_body_temp_path %[1]s;
	proxy_temp_path %[1]s;
	fastcgi_temp_path %[1]s;
	uwsgi_temp_path %[1]s;
	scgi_temp_path %[1]s;
	server {
		listen %[2]s;
		root %[1]s;
	}
}
`, dir, s.listen[0])
	// The client asks for a number of bytes, so that is the file's name.
	s.write(filepath.Join(dir, fmt.Sprint(load.AnswerBody)), make([]byte, load.AnswerBody))
	s.write(filepath.Join(dir, "nginx.conf"), []byte(config))
	p := spawn(s.tb, s.server, s.cpus, exec.Command("nginx", "-e", "stderr", "-p", dir, "-c", "nginx.conf"))
	s.awaitListener(s.listen[0])
	return p
}
