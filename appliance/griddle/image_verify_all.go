package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"griddle/appliance/job"
	"griddle/imagestore"
)

// verifyAll checks the whole store, and repairs it where repairFrom names another one.
func verifyAll(c *cobra.Command, e *env, st *imagestore.Store, store storeFlags, out outputFlag, repairFrom string) error {
	var o imagestore.VerifyStoreOptions
	if repairFrom != "" {
		from, close, err := openOther(c.Context(), e, copyFlags{store: store, other: repairFrom}, false)
		if err != nil {
			return err
		}
		defer close()
		o.RepairFrom = from
	}
	var bar *progress
	if !out.json() {
		bar = newProgress(e.stderr, "reading")
		o.Progress = bar.update
	}
	v, err := st.VerifyStore(c.Context(), o)
	bar.end()
	if err != nil && v.Images == 0 {
		return explainRemote(err)
	}
	tellRevoked(e, v.Revoked, out.json())
	if out.json() {
		if werr := writeJSON(e.stdout, v); werr != nil {
			return werr
		}
	} else {
		for _, d := range v.Repaired {
			fmt.Fprintf(e.stdout, "%s was fetched again\n", d)
		}
		if v.OK {
			_, werr := fmt.Fprintf(e.stdout, "%d images and %d blobs are whole (%s read)\n", v.Images, v.Blobs, job.Bytes(v.Bytes))
			return werr
		}
	}
	if v.OK {
		return nil
	}
	var wrong, unchecked []string
	for _, f := range v.Faults {
		hits := "no image needs it"
		if len(f.Images) > 0 {
			hits = "hits " + strings.Join(f.Images, ", ")
		}
		line := job.Sentence(f.Problem) + " (" + hits + ")"
		if f.Unchecked {
			unchecked = append(unchecked, line)
		} else {
			wrong = append(wrong, line)
		}
	}
	if err != nil {
		unchecked = append(unchecked, err.Error())
	}
	err = notWhole("the store", wrong, unchecked)
	if repairFrom == "" && len(wrong) > 0 {
		return withHint(err, "Another store that has the images can lend what is damaged: --repair-from STORE.")
	}
	return err
}

// tellRevoked says of streams that a revoked key signed what to do about them.
func tellRevoked(e *env, all []imagestore.RevokedStream, json bool) {
	if json {
		return
	}
	for _, r := range all {
		what, from := "full stream", ""
		if r.Parent != "" {
			what, from = "stream from "+r.Parent, " --from "+r.Parent
		}
		e.warn(fmt.Sprintf("the %s to %s is not used: %s; it is not damaged, and `griddle image derive %s%s` makes it anew by a key that counts",
			what, r.Ref, job.Sentence(r.Problem), r.Ref, from))
	}
}
