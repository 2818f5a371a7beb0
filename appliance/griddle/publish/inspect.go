package publish

import (
	"context"
	"fmt"
	"strings"

	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
	"griddle/imagestore"
	"griddle/imagestore/document"
	"griddle/imagestore/template"
)

// NoKernelText says what an image without a kernel needs.
const NoKernelText = "no kernel (neither /vmlinuz nor /boot/vmlinuz-*): machines get the newest griddle/kernel with " +
	"it, which `griddle publish kernel` publishes"

// Inspect looks at the copy of a source: imagestore.PublishOptions.Inspect.
func Inspect(ctx context.Context, dir, arch string) (imagestore.Inspected, error) {
	t, err := template.Inspect(ctx, dir)
	if err != nil {
		return imagestore.Inspected{}, err
	}
	out := imagestore.Inspected{Empty: t.Empty}
	if !t.Fits(arch) {
		out.Foreign = fmt.Sprintf("its %s is for %s", t.Program, t.Arch)
	}
	for _, a := range t.Accounts {
		out.Accounts = append(out.Accounts, document.Account(a))
	}
	if out.Settings, err = settingsOf(t.Settings); err != nil {
		return imagestore.Inspected{}, err
	}
	return out, nil
}

// WarnAccounts warns of the accounts with which people can log in on every machine that gets an image.
func WarnAccounts(e *cli.Env, ref string, all []document.Account) {
	if len(all) == 0 || e.Out.Quiet {
		return
	}
	fmt.Fprintf(e.Stderr, "griddle: warning: every machine that gets %s has these accounts, and anyone who has the "+
		"password or the key can log in:\n", ref)
	for _, a := range all {
		fmt.Fprintf(e.Stderr, "  %-16s %s\n", job.Sentence(a.Name), accountText(a))
	}
	fmt.Fprintln(e.Stderr, "  To change that, run `passwd --lock NAME` and remove .ssh/authorized_keys in the "+
		"template, or in the copy by a hook.")
}

// accountText says with what one can log in.
func accountText(a document.Account) string {
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

// AccountsText is the line of `griddle image show`.
func AccountsText(all []document.Account) string {
	var out []string
	for _, a := range all {
		out = append(out, fmt.Sprintf("%s (%s)", job.Sentence(a.Name), accountText(a)))
	}
	return strings.Join(out, ", ")
}
