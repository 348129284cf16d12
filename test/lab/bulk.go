// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"
)

// A bulk connection begins with eight bytes, big endian: the size of what the
// client sends, or, with the highest bit set, of what it wants. The content is
// the same unpredictable stream in either direction.
const download = 1 << 63

// Bulk serves Upload and Download at an address until the test ends.
func (n *Namespace) Bulk(address string) {
	n.lab.tb.Helper()
	n.Serve(address, func(conn net.Conn) {
		var request [8]byte
		if _, err := io.ReadFull(conn, request[:]); err != nil {
			return
		}
		size := binary.BigEndian.Uint64(request[:])
		if size&download != 0 {
			io.Copy(conn, content(size&^download))
			return
		}
		digest, err := digest(io.LimitReader(conn, int64(size)))
		if err == nil {
			conn.Write(digest)
		}
	})
}

// Upload sends size bytes to a Bulk server and compares the digest of what
// arrived.
func (n *Namespace) Upload(to netip.AddrPort, size uint64) error {
	n.lab.tb.Helper()
	conn, err := n.bulk(to, size, size)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := io.Copy(conn, content(size)); err != nil {
		return err
	}
	arrived := make([]byte, sha256.Size)
	if _, err := io.ReadFull(conn, arrived); err != nil {
		return err
	}
	return compare(arrived, size)
}

// Download gets size bytes from a Bulk server and compares their digest.
func (n *Namespace) Download(from netip.AddrPort, size uint64) error {
	n.lab.tb.Helper()
	conn, err := n.bulk(from, size|download, size)
	if err != nil {
		return err
	}
	defer conn.Close()
	arrived, err := digest(io.LimitReader(conn, int64(size)))
	if err != nil {
		return err
	}
	return compare(arrived, size)
}

func (n *Namespace) bulk(to netip.AddrPort, request, size uint64) (net.Conn, error) {
	conn, err := n.Dial("tcp", to, netip.AddrPort{})
	if err != nil {
		return nil, err
	}
	// A connection whose big packets are lost stalls: 10 MB/s is far below what
	// a lab carries.
	conn.SetDeadline(time.Now().Add(10*time.Second + time.Duration(size/10_000_000)*time.Second))
	if _, err := conn.Write(binary.BigEndian.AppendUint64(nil, request)); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func content(size uint64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{}), int64(size))
}

func digest(r io.Reader) ([]byte, error) {
	hash := sha256.New()
	_, err := io.Copy(hash, r)
	return hash.Sum(nil), err
}

func compare(arrived []byte, size uint64) error {
	sent, err := digest(content(size))
	if err != nil {
		return err
	}
	if string(arrived) != string(sent) {
		return fmt.Errorf("%d bytes arrived as others: digest %x, want %x", size, arrived, sent)
	}
	return nil
}
