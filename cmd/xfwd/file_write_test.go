// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

// save writes contents to a file as the commands do.
func save(path, contents string) error {
	file, err := createFile(path)
	if err != nil {
		return err
	}
	defer file.discard()
	return file.commit(func() ([]byte, error) { return []byte(contents), nil })
}

// wantFiles checks that a directory has the files, and nothing left over.
func wantFiles(t *testing.T, directory string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(directory)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if fmt.Sprint(got) != fmt.Sprint(names) {
		t.Errorf("the directory has %v, want %v", got, names)
	}
}

func wantContents(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("%s has %q, %v; want %q", path, got, err, want)
	}
}

func TestSaveFile(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	path := filepath.Join(t.TempDir(), "new", "forwards.yaml")
	for _, contents := range []string{"one\n", "two\n"} {
		if err := save(path, contents); err != nil {
			t.Fatal(err)
		}
		wantContents(t, path, contents)
	}
	wantFiles(t, filepath.Dir(path), "forwards.yaml")
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o644 {
		t.Errorf("mode is %v, %v", info.Mode(), err)
	}
}

// A file that was begun and not committed leaves the old one and no other.
func TestSaveFileFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "forwards.yaml")
	if err := save(path, "old\n"); err != nil {
		t.Fatal(err)
	}
	file, err := createFile(path)
	if err != nil {
		t.Fatal(err)
	}
	cause := errors.New("no contents")
	if err := file.commit(func() ([]byte, error) { return nil, cause }); err != cause {
		t.Errorf("got %v", err)
	}
	file.discard()
	wantContents(t, path, "old\n")
	wantFiles(t, filepath.Dir(path), "forwards.yaml")
}

// The file behind a symbolic link is written, not the link replaced.
func TestSaveFileThroughLink(t *testing.T) {
	directory := t.TempDir()
	link := filepath.Join(directory, "link")
	if err := os.WriteFile(filepath.Join(directory, "target"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("target", link); err != nil {
		t.Fatal(err)
	}
	if err := save(link, "new\n"); err != nil {
		t.Fatal(err)
	}
	if target, err := os.Readlink(link); err != nil || target != "target" {
		t.Errorf("the link leads to %q, %v", target, err)
	}
	wantContents(t, filepath.Join(directory, "target"), "new\n")
}

// A pipe, and so a device, is written to and not replaced by a file.
func TestSaveFileToPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	saved := make(chan error, 1)
	go func() { saved <- save(path, "new\n") }()
	pipe, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	got, err := io.ReadAll(pipe)
	if err != nil || string(got) != "new\n" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := <-saved; err != nil {
		t.Error(err)
	}
	wantFiles(t, filepath.Dir(path), "pipe")
}

func TestSaveFileRefused(t *testing.T) {
	directory := t.TempDir()
	if err := os.WriteFile(filepath.Join(directory, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(directory, "file", "forwards.yaml")
	if err, want := save(path, ""), "cannot write "+path+": not a directory; name another file"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// What cannot be saved is not added either.
func TestAddSaveRefused(t *testing.T) {
	f := &fake{}
	got := f.test(t.Context(), func(e *environment) {
		e.getenv = func(string) string { return "/dev/null/forwards.yaml" }
	}, "add", "80", "30080", "--save")
	want := result{exitFailed, "", "xfwd: cannot write /dev/null/forwards.yaml: not a directory; name another file\n"}
	if got != want || f.updates != 0 {
		t.Errorf("got %+v after %d updates, want %+v", got, f.updates, want)
	}
}

// Of two that save at once, the file has what the later one saw.
func TestSaveFileAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "forwards.yaml")
	var mu sync.Mutex
	count := 0
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			file, err := createFile(path)
			if err != nil {
				t.Error(err)
				return
			}
			defer file.discard()
			mu.Lock()
			count++
			mu.Unlock()
			err = file.commit(func() ([]byte, error) {
				mu.Lock()
				defer mu.Unlock()
				return fmt.Appendf(nil, "%d\n", count), nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	wantContents(t, path, "20\n")
	wantFiles(t, filepath.Dir(path), "forwards.yaml")
}
