// SPDX-License-Identifier: Apache-2.0

package load

import (
	"bytes"
	"fmt"
	"strconv"
)

// request is what the server understands of HTTP.
type request struct {
	put, close bool
	// size of the body in bytes, and head that of everything before it.
	size, head int
}

// parseRequest allocates nothing: it runs once a request.
func parseRequest(b []byte) (request, error) {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	method, rest, _ := bytes.Cut(b, []byte(" /"))
	path, rest, _ := bytes.Cut(rest, []byte(" HTTP/1."))
	if end < 0 || len(path) == 0 || len(rest) == 0 {
		return request{}, fmt.Errorf("not a request of this client: %q", b[:min(len(b), 80)])
	}
	req := request{put: method[0] == 'P', close: rest[0] == '0', head: end + len("\r\n\r\n")}
	for _, digit := range path {
		if digit < '0' || digit > '9' {
			return request{}, fmt.Errorf("not a size: %q", path)
		}
		req.size = req.size*10 + int(digit-'0')
	}
	return req, nil
}

func appendAnswer(b []byte, size int) []byte {
	b = append(b, "HTTP/1.1 200 OK\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(size), 10)
	return append(b, "\r\n\r\n"...)
}

// answerSize is the size of a whole answer, head and body, of which b is the
// beginning with all of the head. A small head comes in one piece.
func answerSize(b []byte) (int, error) {
	head, _, ok := bytes.Cut(b, []byte("\r\n\r\n"))
	_, length, found := bytes.Cut(head, []byte("\r\nContent-Length: "))
	if !ok || !found || !bytes.HasPrefix(b, []byte("HTTP/1.1 200 ")) {
		return 0, fmt.Errorf("not the answer that was asked for: %q", b[:min(len(b), 80)])
	}
	length, _, _ = bytes.Cut(length, []byte("\r\n"))
	body, err := strconv.Atoi(string(length))
	if err != nil {
		return 0, fmt.Errorf("size of an answer: %w", err)
	}
	return len(head) + len("\r\n\r\n") + body, nil
}
