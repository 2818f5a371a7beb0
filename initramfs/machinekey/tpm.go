package machinekey

import (
	"bytes"
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/linuxtpm"
)

// SealedFile is the name of the key's file where a TPM seals it.
const SealedFile = "machine.key.tpm"

// device is the kernel's resource manager of the TPM: several programs may use it at the same time.
const device = "/dev/tpmrm0"

const sealedPEM = "GRIDDLE TPM SEALED KEY"

// ErrCleared is wrapped if the TPM of this machine cannot open the key: it was cleared, or it is another TPM. The key
// is lost.
var ErrCleared = errors.New("this machine's TPM cannot open it: the TPM was cleared, or the disk comes from another " +
	"machine; start the machine from the network, approve it there (griddle machine approve) and install it again")

// opener connects to the TPM; fs.ErrNotExist where the machine has none.
type opener func() (transport.TPMCloser, error)

func openDevice() (transport.TPMCloser, error) { return linuxtpm.Open(device) }

// seal encrypts the seed of a key so that only this TPM can decrypt it.
func seal(open opener, key ed25519.PrivateKey) ([]byte, error) {
	var out []byte
	err := withPrimary(open, func(t transport.TPM, primary tpm2.AuthHandle, session func(encrypt) tpm2.Session) error {
		primary.Auth = session(in)
		made, err := tpm2.Create{
			ParentHandle: primary,
			InSensitive: tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{
				Data: tpm2.NewTPMUSensitiveCreate(&tpm2.TPM2BSensitiveData{Buffer: key.Seed()}),
			}},
			InPublic: tpm2.New2B(tpm2.TPMTPublic{
				Type: tpm2.TPMAlgKeyedHash, NameAlg: tpm2.TPMAlgSHA256,
				ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, UserWithAuth: true, NoDA: true},
			}),
		}.Execute(t)
		if err != nil {
			return err
		}
		out = pem.EncodeToMemory(&pem.Block{Type: sealedPEM,
			Bytes: append(tpm2.Marshal(made.OutPublic), tpm2.Marshal(made.OutPrivate)...)})
		return nil
	})
	return out, err
}

// unseal returns the key of what seal wrote. The error is ErrCleared if another TPM sealed it.
func unseal(open opener, file []byte) (ed25519.PrivateKey, error) {
	block, _ := pem.Decode(file)
	if block == nil || block.Type != sealedPEM {
		return nil, fmt.Errorf("%w: it has no sealed key in PEM format", ErrDamaged)
	}
	public, err := tpm2.Unmarshal[tpm2.TPM2BPublic](block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	rest := bytes.TrimPrefix(block.Bytes, tpm2.Marshal(public))
	private, err := tpm2.Unmarshal[tpm2.TPM2BPrivate](rest)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	var seed []byte
	err = withPrimary(open, func(t transport.TPM, primary tpm2.AuthHandle, session func(encrypt) tpm2.Session) error {
		loaded, err := tpm2.Load{ParentHandle: primary, InPublic: *public, InPrivate: *private}.Execute(t)
		if errors.Is(err, tpm2.TPMRCIntegrity) {
			return ErrCleared
		}
		if err != nil {
			return err
		}
		defer flush(t, loaded.ObjectHandle)
		opened, err := tpm2.Unseal{ItemHandle: tpm2.AuthHandle{
			Handle: loaded.ObjectHandle, Name: loaded.Name, Auth: session(out),
		}}.Execute(t)
		if err == nil {
			seed = opened.OutData.Buffer
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w (it has no TPM now)", ErrCleared)
	}
	if err == nil && len(seed) != ed25519.SeedSize {
		err = fmt.Errorf("%w: it has %d bytes sealed, want %d", ErrDamaged, len(seed), ed25519.SeedSize)
	}
	if err != nil {
		return nil, err
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// encrypt is the direction in which the secret goes over the wire to the TPM.
type encrypt int

const (
	in encrypt = iota
	out
)

// withPrimary makes the storage key of the TPM, which is the same each time until the TPM is cleared (TCG TPM v2.0
// Provisioning Guidance, section 7.5.1), and hands do its handle and a maker of sessions. A session's key is agreed
// with the storage key, so that someone who listens on the wires of the TPM does not get the secret.
func withPrimary(open opener,
	do func(t transport.TPM, primary tpm2.AuthHandle, session func(encrypt) tpm2.Session) error) error {
	t, err := open()
	if err != nil {
		return fmt.Errorf("opening the TPM: %w", err)
	}
	defer t.Close()
	made, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner,
		InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(t)
	if err != nil {
		return fmt.Errorf("making the TPM's storage key: %w", err)
	}
	defer flush(t, made.ObjectHandle)
	public, err := made.OutPublic.Contents()
	if err != nil {
		return fmt.Errorf("making the TPM's storage key: %w", err)
	}
	session := func(way encrypt) tpm2.Session {
		encryption := tpm2.AESEncryption(128, tpm2.EncryptIn)
		if way == out {
			encryption = tpm2.AESEncryption(128, tpm2.EncryptOut)
		}
		return tpm2.HMAC(tpm2.TPMAlgSHA256, 16, encryption, tpm2.Salted(made.ObjectHandle, *public))
	}
	primary := tpm2.AuthHandle{Handle: made.ObjectHandle, Name: made.Name, Auth: tpm2.PasswordAuth(nil)}
	if err := do(t, primary, session); err != nil {
		return fmt.Errorf("using the TPM: %w", err)
	}
	return nil
}

// flush frees a place in the TPM, which has three of them. The resource manager does it too when the device is closed.
func flush(t transport.TPM, handle tpm2.TPMHandle) {
	_, _ = tpm2.FlushContext{FlushHandle: handle}.Execute(t)
}
