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
		return WithHint(err, "On the machine with the site's key: griddle catalog sign. A running server of this version does it by itself: is this an old copy, or is a clock wrong?")
	case errors.Is(err, head.ErrLost):
		return WithHint(err, "%s", appliance.LostEntries)
	case errors.Is(err, head.ErrRollback):
		return WithHint(err, "This may be an old copy of the store, or a forged one. Only if entries were lost on purpose, or the site has a new key: "+
			"remove what is remembered of it: the file that is named above, or the one in ~/.local/state/griddle/seen.")
	case errors.Is(err, head.ErrMissing):
		return WithHint(err, "A catalog is signed by `griddle serve`, or by `griddle catalog sign` where the site's key is.")
	}
	return err
}

// StoreFull is what to do where a store is on a full disk; it takes the store's directory.
const StoreFull = "The disk of the store %s is full: `griddle image gc` frees what no image needs, and --store DIR names another store."

// NoRoom says whether a disk, or a quota, is full.
func NoRoom(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// needsRoot says, where an ordinary user lacked rights, that and why it takes root.
func needsRoot(err error, uid int, why string) error {
	if uid == 0 || HintOf(err) != "" || !errors.Is(err, fs.ErrPermission) || errors.Is(err, catalog.ErrReadOnly) {
		return err
	}
	return WithHint(err, "This takes root, and this is user %d: %s.", uid, why)
}

// Why some commands take root.
const (
	WhyPublish = "a copy of the source is made, with every file, its owner and its devices, and without what is mounted in it"
	WhyTree    = "the image's files are made on the disk, with their owners and devices"
)

// ExplainTree says what to do about the errors of work that takes an image's tree, which is made first where it is not there.
func ExplainTree(err error, st *imagestore.Store) error {
	dir, spooled := st.Trees()
	switch {
	case NoRoom(err) && spooled:
		return WithHint(err, "The image's files are made in %s meanwhile: set TMPDIR to a directory on another disk.", dir)
	case NoRoom(err) && dir != "":
		return WithHint(err, "The image's files are made in %s: `griddle image gc` frees what no image needs.", dir)
	}
	return AsRoot(err, WhyTree)
}

// AsRoot is needsRoot for who runs this process.
func AsRoot(err error, why string) error { return needsRoot(err, os.Geteuid(), why) }

// ExplainRemote says what to do about an error of talking to the appliance.
func ExplainRemote(err error) error {
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var dns *net.DNSError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &unknown):
		return WithHint(err, "The server's certificate is not of the CA that was given: copy ca.pem from the server's state directory and give it with --ca.")
	case errors.As(err, &host):
		return WithHint(err, "Call the server by an address that it serves on.")
	case errors.Is(err, syscall.ECONNREFUSED):
		return WithHint(err, "Nothing listens there: is `griddle serve` running?")
	case errors.Is(err, blob.ErrStalled):
		return WithHint(err, "The server is there and does not answer: its log may say why. What came is kept, and the same command goes on there.")
	case errors.As(err, &dns):
		return WithHint(err, "The host's name is not known here: give --server with its address.")
	}
	return err
}

// ExplainMachine says what to do about an error that has to do with one machine.
func ExplainMachine(err error) error {
	var p *job.Problem
	switch {
	case !errors.As(err, &p):
	case p.Status == http.StatusNotFound:
		return WithHint(err, "`griddle machine list` says which there are. A machine that was never seen is named by its MAC address.")
	case p.Status == http.StatusUnprocessableEntity:
		return WithHint(err, "`griddle image list` says which there are.")
	}
	return ExplainRemote(err)
}

// explainStore says what to do where a store cannot be opened, read or changed for want of rights.
func explainStore(err error) error {
	switch {
	case HintOf(err) != "":
		return err
	case errors.Is(err, catalog.ErrReadOnly) && errors.Is(err, syscall.EROFS):
		return WithHint(err, "It is on a filesystem that is mounted read-only: work on another store, or mount it for writing.")
	case errors.Is(err, blob.ErrDenied):
		return WithHint(err, "Give the administrator's token with --token-file FILE, or in GRIDDLE_TOKEN_FILE; it is in the state directory of `griddle serve`.")
	case errors.Is(err, catalog.ErrReadOnly):
		return WithHint(err, "Run this as the store's owner or as root.")
	case errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0 && strings.HasPrefix(err.Error(), "opening store: "):
		return WithHint(err, "The directory belongs to another user: run this as root, or name a store of your own with --store DIR.")
	}
	return err
}
