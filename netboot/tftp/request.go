package tftp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"
)

// The opcodes of RFC 1350 section 5 and RFC 2347.
const (
	opRead  = 1
	opWrite = 2
	opData  = 3
	opAck   = 4
	opError = 5
	opOAck  = 6
)

// maxRequest is the size of a request's datagram, in bytes; RFC 2347 allows 512.
const maxRequest = 2048

// request is a read or write request. The options are zero where the client does not ask for them, or asks for a
// value that their RFC does not allow: such an option is not acknowledged, and the client goes on without it.
type request struct {
	write   bool
	name    string        // without a leading slash, with "/" between its parts
	mode    string        // in lower case
	block   int           // blksize, 8 to 65464 bytes (RFC 2348)
	window  int           // windowsize, 1 to 65535 blocks (RFC 7440)
	timeout time.Duration // timeout, 1 to 255 seconds (RFC 2349)
	size    bool          // tsize (RFC 2349)
}

var errNoRequest = errors.New("the packet is not a request")

// parseRequest reads a request:
//
//	2 bytes  string  1  string  1  string  1  string  1
//	+------+--------+--+------+--+--------+--+-------+--+
//	| 1, 2 |  name  | 0| mode | 0| option | 0| value | 0|  any number of options
//	+------+--------+--+------+--+--------+--+-------+--+
//
// Names of options and modes have no case (RFC 1350 section 5, RFC 2347). The last string may lack its zero byte. Of an
// option that is there twice, the first counts.
func parseRequest(p []byte) (request, error) {
	if len(p) < 4 || p[0] != 0 || p[1] != opRead && p[1] != opWrite {
		return request{}, errNoRequest
	}
	fields := strings.Split(strings.TrimSuffix(string(p[2:]), "\x00"), "\x00")
	if len(fields) < 2 || fields[0] == "" {
		return request{}, fmt.Errorf("%w: it has no file name or no mode", errNoRequest)
	}
	r := request{write: binary.BigEndian.Uint16(p) == opWrite, name: cleanName(fields[0]),
		mode: strings.ToLower(fields[1])}
	seen := map[string]bool{}
	for f := fields[2:]; len(f) >= 2; f = f[2:] {
		option := strings.ToLower(f[0])
		if seen[option] {
			continue
		}
		seen[option] = true
		r.set(option, f[1])
	}
	return r, nil
}

func (r *request) set(option, value string) {
	switch option {
	case "blksize":
		r.block = number(value, 8, 65464)
	case "windowsize":
		r.window = number(value, 1, 65535)
	case "timeout":
		r.timeout = time.Duration(number(value, 1, 255)) * time.Second
	case "tsize":
		r.size = true
	}
}

// number is value, or 0 where it is not a number from low to high.
func number(value string, low, high int) int {
	n, err := strconv.Atoi(value)
	if err != nil || n < low || n > high {
		return 0
	}
	return n
}

// cleanName brings the ways in which firmware writes a path to one: //name, ./name, \name and /name are name. A path
// that leaves the root stays recognisable as one ("../x"), so that no file has it.
func cleanName(name string) string {
	name = path.Clean(strings.ReplaceAll(name, `\`, "/"))
	return strings.TrimPrefix(name, "/")
}
