package job

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"math/big"
	"time"
)

// NewKey makes the key with which one boot of a machine proves itself: an Ed25519 key in a certificate that it signs
// itself. The agent makes one at each start, keeps it in memory, and gives it to PinnedTLS's configuration, so that
// every call of the boot is made with it. The server asks for a certificate and looks at its key alone, see KeyOf.
func NewKey() (tls.Certificate, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("making the key of this boot: %w", err)
	}
	return KeyCertificate(public, private)
}

// KeyCertificate is the certificate that carries a key over TLS. Its dates mean nothing, because the clock of a machine
// may be wrong.
func KeyCertificate(public ed25519.PublicKey, private ed25519.PrivateKey) (tls.Certificate, error) {
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0),
		NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)} // RFC 5280, section 4.1.2.5: it never ends
	der, err := x509.CreateCertificate(rand.Reader, c, c, public, private)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("making a certificate of a key: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}, nil
}

// KeyOf is the key that the client of a TLS connection has proved to have: the SHA-256 of its public key in hex
// (SubjectPublicKeyInfo, RFC 5280), "" if it gave none. TLS 1.3 has checked the client's signature (RFC 8446, section
// 4.4.3); who signed the certificate says nothing.
func KeyOf(state *tls.ConnectionState) string {
	if state == nil || len(state.PeerCertificates) == 0 {
		return ""
	}
	sum := sha256.Sum256(state.PeerCertificates[0].RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}
