// Package luks makes and opens encrypted volumes of LUKS2, by the program cryptsetup.
//
// Call Make for a partition that has nothing in it, and Open for its device file; Close when nothing of it is mounted.
// Check the TPM with CheckTPM before anything is written, where a volume is to be opened by it.
//
// A volume has one to three keys, in the slots 0, 1 and 2 and in this order:
//
//	the passphrase, by Argon2id with what this machine can do in two seconds, and with at most half of the memory that
//	is free: a boot image has the rest
//	the recovery key, 256 random bits as a text that people can type; a token of the type systemd-recovery says which
//	slot it has
//	a key of 32 random bytes, which the TPM seals; in a token of the type systemd-tpm2
//
// The tokens are those of systemd-cryptenroll: the system on the disk opens the volume by itself (crypttab(5),
// tpm2-device=auto), and asks for a recovery key where there is one. The seal counts while PCR 7 has the same value:
// the state of Secure Boot and its keys. It protects a disk that leaves its machine. Who can start other systems on the
// machine, with the same Secure Boot, gets the key too.
//
// Secrets go to cryptsetup through pipes, and never into arguments or files.
//
// Sources: LUKS2 On-Disk Format Specification 1.1.1; cryptsetup(8); systemd's src/shared/tpm2-util.c,
// src/cryptenroll/cryptenroll-tpm2.c and cryptenroll-recovery.c, versions 252 to 257.
package luks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Program is what makes and opens volumes.
const Program = "cryptsetup"

// ErrKey is wrapped by errors of a volume that a secret does not open.
var ErrKey = errors.New("it is not opened by this")

// Volume is a volume that is to be made.
type Volume struct {
	UUID       string // of the volume, in lower case
	Label      string // at most 47 bytes
	Passphrase []byte // opens it; none if there is a recovery key
	Recovery   []byte // opens it too: a key of package recoverykey; none if there is a passphrase
	TPM        bool   // the TPM of this machine opens it too
	// Cost are arguments of luksFormat for how slow the passphrase is to try; nil is what this machine can do. It is
	// for tests, which use Cheap.
	Cost []string
}

// Cheap is the Cost of a passphrase that anyone can try, many times in a second.
var Cheap = []string{"--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"}

// A key that is random has this cost: a function that is slow to try adds nothing (cryptsetup_set_minimal_pbkdf of
// systemd).
var random = append(slices.Clip(Cheap), "--hash", "sha512")

// Name is the name of the opened volume with a UUID, as many distributions choose it.
func Name(uuid string) string { return "luks-" + strings.ToLower(uuid) }

// Node is the device file of an opened volume.
func Node(uuid string) string { return "/dev/mapper/" + Name(uuid) }

// Make makes a volume in the device file node, whose content is lost. What it wrote is durable when node is synced.
// After an error or a crash node has something that only a new Make may use.
func Make(ctx context.Context, node string, v Volume) error { return v.make(ctx, node, openDevice) }

func (v Volume) make(ctx context.Context, node string, tpm opener) error {
	first, cost := v.Passphrase, v.Cost
	if len(first) == 0 {
		first, cost = v.Recovery, random
	}
	if len(first) == 0 {
		return errors.New("encrypting a volume: there is neither a passphrase nor a recovery key, or it is empty")
	}
	if cost == nil {
		var err error
		if cost, err = affordable(); err != nil {
			return err
		}
	}
	args := append([]string{"luksFormat", "--batch-mode", "--type", "luks2", "--uuid", v.UUID, "--key-file", "-",
		"--key-slot", "0"}, cost...)
	if v.Label != "" {
		args = append(args, "--label", v.Label)
	}
	if err := run(ctx, first, nil, append(args, node)...); err != nil {
		return fmt.Errorf("encrypting a volume: %w", err)
	}
	slot := 0
	if len(v.Recovery) > 0 {
		if len(v.Passphrase) > 0 {
			slot++
		}
		if err := v.recoverable(ctx, node, slot); err != nil {
			return fmt.Errorf("giving a volume its recovery key: %w", err)
		}
	}
	if !v.TPM {
		return nil
	}
	if err := enrol(ctx, node, first, slot+1, tpm); err != nil {
		return fmt.Errorf("giving the key of a volume to the TPM: %w", err)
	}
	return nil
}

// recoverable gives a volume its recovery key in a slot, unless that is the first one, and says so in a token.
func (v Volume) recoverable(ctx context.Context, node string, slot int) error {
	if slot > 0 {
		if err := addKey(ctx, node, v.Passphrase, v.Recovery, slot); err != nil {
			return err
		}
	}
	if err := addToken(ctx, node, token{Type: recoveryType}, slot); err != nil {
		return err
	}
	return Opens(ctx, node, v.Recovery) // a key that does not would be missed too late
}

// enrol adds a key that the TPM seals; first is one that the volume has.
func enrol(ctx context.Context, node string, first []byte, slot int, tpm opener) error {
	key, token, err := seal(tpm)
	if err != nil {
		return err
	}
	if err := addKey(ctx, node, first, key, slot); err != nil {
		return err
	}
	if err := addToken(ctx, node, token, slot); err != nil {
		return err
	}
	// What cannot be read back would be missed at the next start.
	again, err := unsealed(ctx, node, tpm)
	if err == nil && !bytes.Equal(again, key) {
		err = errors.New("it gives another key back")
	}
	return err
}

// addKey adds a random key in a slot; first is one that the volume has.
func addKey(ctx context.Context, node string, first, key []byte, slot int) error {
	args := append([]string{"luksAddKey", "--batch-mode", "--key-file", "-", "--key-slot", fmt.Sprint(slot)}, random...)
	return run(ctx, first, key, append(args, node, "/proc/self/fd/3")...)
}

// addToken adds a token for the key in a slot.
func addToken(ctx context.Context, node string, t token, slot int) error {
	t.Slots = []string{fmt.Sprint(slot)}
	b, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return run(ctx, b, nil, "token", "import", "--json-file", "-", node)
}

// Opens is nil if a key opens the volume in the device file node, and ErrKey if it does not. Nothing is opened.
func Opens(ctx context.Context, node string, key []byte) error {
	return run(ctx, key, nil, "open", "--type", "luks2", "--test-passphrase", "--key-file", "-", node)
}

// Open opens the volume in the device file node by the first of some keys that does: passphrases and recovery keys. One
// that is open already stays. It returns the device file of what is in it. The error is ErrKey if none of them opens
// it; empty keys are not tried.
func Open(ctx context.Context, node, uuid string, keys ...[]byte) (string, error) {
	err := ErrKey
	if _, open := os.Stat(Node(uuid)); open == nil {
		return Node(uuid), nil
	}
	for _, key := range keys {
		if len(key) == 0 {
			continue
		}
		err = run(ctx, key, nil, "open", "--type", "luks2", "--key-file", "-", node, Name(uuid))
		if err == nil {
			return Node(uuid), nil
		}
		if !errors.Is(err, ErrKey) {
			break
		}
	}
	return "", fmt.Errorf("opening the encrypted %s: %w", node, err)
}

// OpenByTPM is Open with the key that the TPM of this machine sealed. It is ErrKey if the volume has no such key, or
// this TPM does not give it: it is another one, it was cleared, or PCR 7 has another value.
func OpenByTPM(ctx context.Context, node, uuid string) (string, error) {
	if _, err := os.Stat(Node(uuid)); err == nil {
		return Node(uuid), nil
	}
	key, err := unsealed(ctx, node, openDevice)
	if err != nil {
		return "", fmt.Errorf("opening the encrypted %s by the TPM: %w", node, err)
	}
	return Open(ctx, node, uuid, key)
}

// Close closes an opened volume, of which nothing is mounted. It is durable: the kernel writes everything before. One
// that is not open is not an error.
func Close(ctx context.Context, uuid string) error {
	if _, err := os.Stat(Node(uuid)); err != nil {
		return nil
	}
	if err := run(ctx, nil, nil, "close", Name(uuid)); err != nil {
		return fmt.Errorf("closing the encrypted volume %s: %w", uuid, err)
	}
	return nil
}

// unsealed is the key that the TPM gives for the first of its tokens in a volume.
func unsealed(ctx context.Context, node string, tpm opener) ([]byte, error) {
	const most = 32 // tokens of a volume (LUKS2_TOKENS_MAX)
	for id := range most {
		b, err := output(ctx, "token", "export", "--token-id", fmt.Sprint(id), node)
		if err != nil {
			break // it has no more
		}
		token, err := parseToken(b)
		if err != nil {
			return nil, err
		}
		if token.Type == tokenType {
			return unseal(tpm, token)
		}
	}
	return nil, fmt.Errorf("%w: the volume has no key for a TPM", ErrKey)
}

// run runs cryptsetup with secrets on its standard input and, if there is another one, on descriptor 3.
func run(ctx context.Context, in, more []byte, args ...string) error {
	cmd := exec.CommandContext(ctx, Program, args...)
	cmd.Stdin = bytes.NewReader(in)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if more != nil {
		r, w, err := os.Pipe()
		if err != nil {
			return err
		}
		defer r.Close()
		cmd.ExtraFiles = []*os.File{r}
		go func() { // a pipe has room for a key; one that is not read is closed with r
			_, _ = w.Write(more)
			w.Close()
		}()
	}
	return failure(cmd.Run(), args[0], said.Bytes())
}

func output(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, Program, args...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &limited{&out}, &said
	err := failure(cmd.Run(), args[0], said.Bytes())
	return out.Bytes(), err
}

// limited takes what the header of a volume can have, and no more (LUKS2 1.1.1 section 3: 4 MiB).
type limited struct{ *bytes.Buffer }

func (l *limited) Write(b []byte) (int, error) {
	if l.Len()+len(b) > 4<<20 {
		return 0, io.ErrShortWrite
	}
	return l.Buffer.Write(b)
}

// failure says why cryptsetup failed. Its exit code is 2 where the key is another one (cryptsetup(8), "RETURN CODES").
func failure(err error, verb string, said []byte) error {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exit) && exit.ExitCode() == 2:
		return ErrKey
	}
	return fmt.Errorf("running %s %s: %w: %s", filepath.Base(Program), verb, err, bytes.TrimSpace(said))
}
