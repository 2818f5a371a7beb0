package account

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// params are the cost of a hash, which is kept with it: the second recommended option of RFC 9106 section 4, with one
// lane. One password is hashed at a time, so that logins never take more than this memory together.
type params struct {
	memory uint32 // KiB
	time   uint32 // passes
	lanes  uint8
}

func cost() params { return params{memory: 64 << 10, time: 3, lanes: 1} }

const (
	minPassword = 12  // characters
	maxPassword = 256 // bytes
	saltBytes   = 16
	hashBytes   = 32
	// waiting is how many logins wait for the one that is being checked.
	waiting = 16
)

func checkPassword(password string) error {
	switch {
	case len(password) > maxPassword:
		return fmt.Errorf("%w: the password has more than %d bytes", ErrInvalid, maxPassword)
	case !utf8.ValidString(password):
		return fmt.Errorf("%w: the password is not UTF-8", ErrInvalid)
	case utf8.RuneCountInString(password) < minPassword:
		return fmt.Errorf("%w: the password has less than %d characters", ErrInvalid, minPassword)
	}
	return nil
}

// hash hashes a new password, if it is long enough.
func (s *Store) hash(ctx context.Context, password string) (string, error) {
	if err := checkPassword(password); err != nil {
		return "", err
	}
	done, err := s.turn(ctx)
	if err != nil {
		return "", err
	}
	defer done()
	salt := make([]byte, saltBytes)
	rand.Read(salt)
	return encodeHash(cost(), salt, sum(cost(), password, salt, hashBytes)), nil
}

// verify says whether password has this hash. It does the same work where hash is "".
func (s *Store) verify(ctx context.Context, hash, password string) (bool, error) {
	done, err := s.turn(ctx)
	if err != nil {
		return false, err
	}
	defer done()
	if hash == "" {
		sum(cost(), password, make([]byte, saltBytes), hashBytes)
		return false, nil
	}
	p, salt, want, err := decodeHash(hash)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(sum(p, password, salt, uint32(len(want))), want) == 1, nil
}

// turn waits for the turn to hash. The error is ErrBusy where many wait already.
func (s *Store) turn(ctx context.Context) (done func(), err error) {
	select {
	case s.queue <- struct{}{}:
	default:
		return nil, ErrBusy
	}
	defer func() { <-s.queue }()
	select {
	case s.hashing <- struct{}{}:
		return func() { <-s.hashing }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func sum(p params, password string, salt []byte, length uint32) []byte {
	return argon2.IDKey([]byte(password), salt, p.time, p.memory, p.lanes, length)
}

// encodeHash writes a hash as the reference implementation of argon2 does (argon2.c, encode_string).
func encodeHash(p params, salt, sum []byte) string {
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.memory, p.time, p.lanes, b64(salt),
		b64(sum))
}

// decodeHash reads what encodeHash wrote. Its limits keep a file that someone changed from taking all memory.
func decodeHash(s string) (p params, salt, sum []byte, err error) {
	bad := func() (params, []byte, []byte, error) {
		return params{}, nil, nil, fmt.Errorf("the hash of a password is not one of argon2id")
	}
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" ||
		parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return bad()
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.memory, &p.time, &p.lanes); err != nil {
		return bad()
	}
	salt, err = base64.RawStdEncoding.Strict().DecodeString(parts[4])
	if err != nil {
		return bad()
	}
	sum, err = base64.RawStdEncoding.Strict().DecodeString(parts[5])
	if err != nil || p.memory > 1<<20 || p.time < 1 || p.time > 100 || p.lanes < 1 || len(salt) < 8 ||
		len(salt) > 64 || len(sum) < 16 || len(sum) > 64 {
		return bad()
	}
	return p, salt, sum, nil
}
