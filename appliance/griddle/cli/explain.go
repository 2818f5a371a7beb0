package cli

import (
	"crypto/x509"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"

	"griddle/appliance"
	"griddle/appliance/job"
	"griddle/imagestore"
	"griddle/imagestore/blob"
	"griddle/imagestore/catalog"
	"griddle/imagestore/head"
)

// explainCatalog says what to do about a catalog that was refused.
func explainCatalog(err error) error {
	switch {
	case err == nil || HintOf(err) != "":
		return err
	case errors.Is(err, head.ErrExpired):
		return WithHint(err, "Run `griddle catalog sign` on the computer that has the site's key. A running server "+
			"does that by itself, so this may "+
			"be an old copy, or a clock may be wrong.")
	case errors.Is(err, head.ErrLost):
		return WithHint(err, "%s", appliance.LostEntries)
	case errors.Is(err, head.ErrRollback):
		return WithHint(err, "This may be an old copy of the store, or a forged one. Only if you know that entries "+
			"were removed, or that the site "+
			"has a new key, delete the file that is named above, or the one in ~/.local/state/griddle/seen.")
	case errors.Is(err, head.ErrMissing):
		return WithHint(err, "To sign it, run `griddle serve`, or `griddle catalog sign` on the computer that has "+
			"the site's key.")
	}
	return err
}

// StoreFull is the hint for a full disk. It takes the store's directory.
const StoreFull = "The disk of the store %s is full. `griddle image gc` deletes what no image needs; --store DIR " +
	"uses another store."

// NoRoom says whether a disk, or a quota, is full.
func NoRoom(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// needsRoot adds a hint to the error of a user who is not root: why the command requires root.
func needsRoot(err error, uid int, why string) error {
	if uid == 0 || HintOf(err) != "" || !errors.Is(err, fs.ErrPermission) || errors.Is(err, catalog.ErrReadOnly) {
		return err
	}
	return WithHint(err, "Run this as root, not as user %d: %s.", uid, why)
}

// Why some commands require root.
const (
	WhyPublish = "it copies every file of the source, with owners and devices"
	WhyTree    = "it creates the image's files, with owners and devices"
)

// ExplainTree says what to do about the errors of work that needs an image's tree, and unpacks the tree first if
// necessary.
func ExplainTree(err error, st *imagestore.Store) error {
	dir, spooled := st.Trees()
	switch {
	case NoRoom(err) && spooled:
		return WithHint(err, "The image is unpacked in %s. Set TMPDIR to a directory on another disk.", dir)
	case NoRoom(err) && dir != "":
		return WithHint(err, "The image is unpacked in %s. `griddle image gc` deletes what no image needs.", dir)
	}
	return AsRoot(err, WhyTree)
}

// AsRoot adds a hint to an error that root would not get: why the command requires root.
func AsRoot(err error, why string) error { return needsRoot(err, os.Geteuid(), why) }

// ExplainRemote says what to do about an error of talking to the server.
func ExplainRemote(err error) error {
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var dns *net.DNSError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &unknown):
		return WithHint(err, "The server's certificate is not from the given CA. Copy ca.pem from the server's "+
			"state directory, and give it with --ca.")
	case errors.As(err, &host):
		return WithHint(err, "Use an address that the server listens on.")
	case errors.Is(err, syscall.ECONNREFUSED):
		return WithHint(err, "Nothing listens there. Check that `griddle serve` runs.")
	case errors.Is(err, blob.ErrStalled):
		return WithHint(err, "The server is reachable but does not answer; its log may say why. Run this again to "+
			"resume.")
	case errors.As(err, &dns):
		return WithHint(err, "This computer does not know the host's name. Give --server with its address.")
	}
	return err
}

// ExplainMachine says what to do about an error that has to do with one machine.
func ExplainMachine(err error) error {
	var p *job.Problem
	switch {
	case !errors.As(err, &p):
	case p.Status == http.StatusNotFound:
		return WithHint(err, "`griddle machine list` shows all machines. Name a machine that was never seen by its "+
			"MAC address.")
	case p.Status == http.StatusUnprocessableEntity:
		return WithHint(err, "`griddle image list` shows all images.")
	}
	return ExplainRemote(err)
}

// explainStore says what to do if a store cannot be opened, read or changed.
func explainStore(err error) error {
	switch {
	case HintOf(err) != "":
		return err
	case errors.Is(err, catalog.ErrReadOnly) && errors.Is(err, syscall.EROFS):
		return WithHint(err, "Its filesystem is mounted read-only. Mount it for writing, or use another store.")
	case errors.Is(err, blob.ErrDenied):
		return WithHint(err, "Give the administrator's token with --token-file FILE or in GRIDDLE_TOKEN_FILE. It "+
			"is in the state directory of `griddle serve`.")
	case errors.Is(err, catalog.ErrReadOnly):
		return WithHint(err, "Run this as the store's owner or as root.")
	case errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0 && strings.HasPrefix(err.Error(), "opening store: "):
		return WithHint(err, "The directory belongs to another user. Run this as root, or use your own store with "+
			"--store DIR.")
	}
	return err
}
