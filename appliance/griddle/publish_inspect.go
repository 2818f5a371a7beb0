package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"griddle/appliance/job"
	"griddle/imagestore"
	"griddle/imagestore/template"
)

// noKernelText says what an image without a kernel is good for.
const noKernelText = "no kernel (neither /vmlinuz nor /boot/vmlinuz-*): no machine can be installed with it"

// inspect looks at the copy of a source: imagestore.PublishOptions.Inspect.
func inspect(ctx context.Context, dir, arch string) (imagestore.Inspected, error) {
	t, err := template.Inspect(ctx, dir)
	if err != nil {
		return imagestore.Inspected{}, err
	}
	out := imagestore.Inspected{Empty: t.Empty}
	if !t.Fits(arch) {
		out.Foreign = fmt.Sprintf("its %s is for %s", t.Program, t.Arch)
	}
	for _, a := range t.Accounts {
		out.Accounts = append(out.Accounts, imagestore.Account(a))
	}
	return out, nil
}

// warnAccounts tells who can log in on every machine that gets an image.
func warnAccounts(e *env, ref string, all []imagestore.Account) {
	if len(all) == 0 {
		return
	}
	fmt.Fprintf(e.stderr, "griddle: warning: every machine that gets %s has these accounts, and who knows the password or has the key can log in:\n", ref)
	for _, a := range all {
		fmt.Fprintf(e.stderr, "  %-16s %s\n", job.Sentence(a.Name), accountText(a))
	}
	fmt.Fprintln(e.stderr, "  To change that, `passwd --lock NAME` and remove .ssh/authorized_keys in the template, or in the copy by a hook.")
}

// accountText says what lets somebody in.
func accountText(a imagestore.Account) string {
	var by []string
	switch {
	case a.Empty:
		by = append(by, "NO PASSWORD AT ALL")
	case a.Password:
		by = append(by, "a password")
	}
	switch {
	case a.Keys == 1:
		by = append(by, "an ssh key")
	case a.Keys > 1:
		by = append(by, fmt.Sprintf("%d ssh keys", a.Keys))
	}
	return strings.Join(by, ", ")
}

// accountsText is the line of `griddle image show`.
func accountsText(all []imagestore.Account) string {
	var out []string
	for _, a := range all {
		out = append(out, fmt.Sprintf("%s (%s)", job.Sentence(a.Name), accountText(a)))
	}
	return strings.Join(out, ", ")
}

// needsRoot says, where an ordinary user lacked rights, that and why it takes root.
func needsRoot(err error, uid int, why string) error {
	if uid == 0 || hintOf(err) != "" || !errors.Is(err, fs.ErrPermission) || errors.Is(err, imagestore.ErrReadOnly) {
		return err
	}
	return withHint(err, "This takes root, and this is user %d: %s.", uid, why)
}

// Why some commands take root.
const (
	whyPublish = "a copy of the source is made, with every file, its owner and its devices, and without what is mounted in it"
	whyTree    = "the image's files are made on the disk, with their owners and devices"
)

// explainTree says what to do about the errors of work that takes an image's tree, which is made first where it is not there.
func explainTree(err error, st *imagestore.Store) error {
	dir, spooled := st.Trees()
	switch {
	case noRoom(err) && spooled:
		return withHint(err, "The image's files are made in %s meanwhile: set TMPDIR to a directory on another disk.", dir)
	case noRoom(err) && dir != "":
		return withHint(err, "The image's files are made in %s: `griddle image gc` frees what no image needs.", dir)
	}
	return asRoot(err, whyTree)
}

// asRoot is needsRoot for who runs this process.
func asRoot(err error, why string) error { return needsRoot(err, os.Geteuid(), why) }
