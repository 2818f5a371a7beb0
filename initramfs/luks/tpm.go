package luks

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/linuxtpm"
)

// device is the kernel's resource manager of the TPM: several programs may use it at the same time.
const device = "/dev/tpmrm0"

// opener connects to the TPM; fs.ErrNotExist where the machine has none.
type opener func() (transport.TPMCloser, error)

func openDevice() (transport.TPMCloser, error) { return linuxtpm.Open(device) }

// errEmpty says that a seal by PCR 7 would protect nothing.
var errEmpty = errors.New("PCR 7 is empty: the firmware measures nothing into it, and the TPM would give the key to " +
	"any system; leave out tpm2, or switch on the measurements of the TPM in the setup of the firmware")

// CheckTPM says why no volume can be opened by the TPM of this machine, nil if one can.
func CheckTPM() error { return checkTPM(openDevice) }

func checkTPM(open opener) error {
	t, err := open()
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("this machine has no TPM 2.0, or it is switched off in the setup of the firmware; switch " +
			"it on, or leave out tpm2")
	}
	if err != nil {
		return fmt.Errorf("opening the TPM: %w", err)
	}
	defer t.Close()
	return measured(t)
}

// selection is PCR 7 in the bank of SHA-256.
func selection() tpm2.TPMLPCRSelection {
	return tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{{Hash: tpm2.TPMAlgSHA256,
		PCRSelect: tpm2.PCClientCompatible.PCRs(pcr)}}}
}

// measured says whether PCR 7 has a value that firmware gave it: neither all zeros nor all ones.
func measured(t transport.TPM) error {
	got, err := tpm2.PCRRead{PCRSelectionIn: selection()}.Execute(t)
	if err != nil {
		return fmt.Errorf("reading PCR %d of the TPM: %w", pcr, err)
	}
	if len(got.PCRValues.Digests) != 1 {
		return fmt.Errorf("reading PCR %d of the TPM: it has no bank of SHA-256; switch that on in the setup of the "+
			"firmware, or leave out tpm2", pcr)
	}
	value := got.PCRValues.Digests[0].Buffer
	if len(bytes.Trim(value, "\x00")) == 0 || len(bytes.Trim(value, "\xff")) == 0 {
		return errEmpty
	}
	return nil
}

// seal makes a key, and a token by which the TPM gives it while PCR 7 is as now.
func seal(open opener) (key []byte, out token, err error) {
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return nil, token{}, err
	}
	err = withPrimary(open, func(t transport.TPM, primary tpm2.AuthHandle, salt tpm2.AuthOption) error {
		if err := measured(t); err != nil {
			return err
		}
		policy, err := policyOf(t)
		if err != nil {
			return err
		}
		primary.Auth = tpm2.HMAC(tpm2.TPMAlgSHA256, 16, tpm2.AESEncryption(128, tpm2.EncryptIn), salt)
		made, err := tpm2.Create{
			ParentHandle: primary,
			InSensitive: tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{
				Data: tpm2.NewTPMUSensitiveCreate(&tpm2.TPM2BSensitiveData{Buffer: secret}),
			}},
			InPublic: tpm2.New2B(tpm2.TPMTPublic{
				Type: tpm2.TPMAlgKeyedHash, NameAlg: tpm2.TPMAlgSHA256,
				ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true},
				AuthPolicy:       tpm2.TPM2BDigest{Buffer: policy},
			}),
		}.Execute(t)
		if err != nil {
			return err
		}
		out = token{Type: tokenType, PCRs: []int{pcr}, Bank: "sha256", Alg: "ecc", Policy: hex.EncodeToString(policy),
			Blob: append(tpm2.Marshal(made.OutPrivate), tpm2.Marshal(made.OutPublic)...)}
		return nil
	})
	return keyOf(secret), out, err
}

// keyOf is what opens the slot: systemd takes the secret in base64, without a line end.
func keyOf(secret []byte) []byte { return []byte(base64.StdEncoding.EncodeToString(secret)) }

// policyOf is the policy that PCR 7 is as now.
func policyOf(t transport.TPM) ([]byte, error) {
	s, end, err := tpm2.PolicySession(t, tpm2.TPMAlgSHA256, 16, tpm2.Trial())
	if err != nil {
		return nil, err
	}
	defer func() { _ = end() }()
	if _, err := (tpm2.PolicyPCR{PolicySession: s.Handle(), Pcrs: selection()}).Execute(t); err != nil {
		return nil, err
	}
	got, err := tpm2.PolicyGetDigest{PolicySession: s.Handle()}.Execute(t)
	if err != nil {
		return nil, err
	}
	return got.PolicyDigest.Buffer, nil
}

// unseal is the key of a token. It is ErrKey if this TPM does not give it now.
func unseal(open opener, from token) ([]byte, error) {
	if from.PIN || len(from.SRK) > 0 || from.Alg != "ecc" || from.Bank != "sha256" ||
		!slices.Equal(from.PCRs, []int{pcr}) {
		return nil, fmt.Errorf("%w: its key is sealed in a way that only its system knows", ErrKey)
	}
	private, err := tpm2.Unmarshal[tpm2.TPM2BPrivate](from.Blob)
	if err != nil {
		return nil, fmt.Errorf("reading the sealed key of the volume: %w", err)
	}
	rest := bytes.TrimPrefix(from.Blob, tpm2.Marshal(private))
	public, err := tpm2.Unmarshal[tpm2.TPM2BPublic](rest)
	if err != nil {
		return nil, fmt.Errorf("reading the sealed key of the volume: %w", err)
	}
	var secret []byte
	err = withPrimary(open, func(t transport.TPM, primary tpm2.AuthHandle, salt tpm2.AuthOption) error {
		loaded, err := tpm2.Load{ParentHandle: primary, InPublic: *public, InPrivate: *private}.Execute(t)
		if errors.Is(err, tpm2.TPMRCIntegrity) {
			return fmt.Errorf("%w: the TPM was cleared, or it is another one", ErrKey)
		}
		if err != nil {
			return err
		}
		defer flush(t, loaded.ObjectHandle)
		opened, err := tpm2.Unseal{ItemHandle: tpm2.AuthHandle{Handle: loaded.ObjectHandle, Name: loaded.Name,
			Auth: tpm2.Policy(tpm2.TPMAlgSHA256, 16, asNow, tpm2.AESEncryption(128, tpm2.EncryptOut), salt),
		}}.Execute(t)
		if errors.Is(err, tpm2.TPMRCPolicyFail) {
			return fmt.Errorf("%w: Secure Boot is in another state, or has other keys, than when it was sealed", ErrKey)
		}
		if err == nil {
			secret = opened.OutData.Buffer
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: this machine has no TPM now", ErrKey)
	}
	if err != nil {
		return nil, err
	}
	return keyOf(secret), nil
}

// asNow proves to the TPM that PCR 7 is as the policy says.
func asNow(t transport.TPM, s tpm2.TPMISHPolicy, _ tpm2.TPM2BNonce) error {
	_, err := tpm2.PolicyPCR{PolicySession: s, Pcrs: selection()}.Execute(t)
	return err
}

// primary is the key of systemd before version 255, which later versions make for a token without tpm2_srk
// (tpm2_get_legacy_template).
func primary() tpm2.TPMTPublic {
	return tpm2.TPMTPublic{
		Type: tpm2.TPMAlgECC, NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true,
			UserWithAuth: true, Restricted: true, Decrypt: true},
		Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
			Symmetric: tpm2.TPMTSymDefObject{Algorithm: tpm2.TPMAlgAES,
				KeyBits: tpm2.NewTPMUSymKeyBits(tpm2.TPMAlgAES, tpm2.TPMKeyBits(128)),
				Mode:    tpm2.NewTPMUSymMode(tpm2.TPMAlgAES, tpm2.TPMAlgCFB)},
			CurveID: tpm2.TPMECCNistP256,
		}),
	}
}

// withPrimary makes that key and hands do its handle, and what has sessions agree on a key with it: who listens on the
// wires of the TPM does not get the secret.
func withPrimary(open opener,
	do func(t transport.TPM, primary tpm2.AuthHandle, salt tpm2.AuthOption) error) error {
	t, err := open()
	if err != nil {
		return fmt.Errorf("opening the TPM: %w", err)
	}
	defer t.Close()
	made, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(primary())}.Execute(t)
	if err != nil {
		return fmt.Errorf("making a storage key of the TPM: %w", err)
	}
	defer flush(t, made.ObjectHandle)
	public, err := made.OutPublic.Contents()
	if err != nil {
		return fmt.Errorf("making a storage key of the TPM: %w", err)
	}
	if err := do(t, tpm2.AuthHandle{Handle: made.ObjectHandle, Name: made.Name, Auth: tpm2.PasswordAuth(nil)},
		tpm2.Salted(made.ObjectHandle, *public)); err != nil {
		return fmt.Errorf("using the TPM: %w", err)
	}
	return nil
}

// flush frees a place in the TPM, which has three of them.
func flush(t transport.TPM, handle tpm2.TPMHandle) {
	_, _ = tpm2.FlushContext{FlushHandle: handle}.Execute(t)
}
