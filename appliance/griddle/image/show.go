package image

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/appliance/griddle/publish"
	"griddle/appliance/job"
	"griddle/imagestore"
	"griddle/imagestore/document"
)

func showCommand(e *cli.Env) *cobra.Command {
	var store cli.StoreFlags
	var documents string
	c := &cobra.Command{
		Use:     "show IMAGE",
		Short:   "Show one image and the streams that make it",
		Example: "  griddle image show web:stable\n  griddle image show web:20261120.1 --documents /tmp/documents",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: cli.Arguments(cli.Images(e, &store)),
	}
	store.Add(c)
	c.Flags().StringVar(&documents, "documents", "", "also write the signed documents into `DIR`, for minisign -V")
	c.RunE = func(c *cobra.Command, args []string) error {
		ref, err := parseRef(args[0])
		if err != nil {
			return err
		}
		st, err := cli.OpenStore(e, store, false)
		if err != nil {
			return err
		}
		s, err := st.Show(c.Context(), ref)
		if err != nil {
			return err
		}
		if documents != "" {
			paths, err := st.WriteDocuments(c.Context(), ref, documents)
			if err != nil {
				return err
			}
			for _, p := range paths {
				e.Say(fmt.Sprintf("wrote %s and %s.minisig", p, p))
			}
		}
		return e.Print(s, func(w io.Writer) error { return showImage(w, s) })
	}
	return c
}

func showImage(w io.Writer, s imagestore.Shown) error {
	rows := [][2]string{
		{"image", s.Ref},
		{"description", job.Sentence(s.Description)},
		{"comment", job.Sentence(s.Comment)},
		{"published", s.Published.Format(time.DateTime) + " UTC, signed by key " + s.Signer},
		{"channels", strings.Join(s.Channels, ", ")},
		{"tree", fmt.Sprintf("%d paths, %s", s.Files, job.Bytes(s.Size))},
		{"packages", packagesText(s.Image.Packages)},
		{"kernel", kernelText(s.Image)},
		{"accounts", publish.AccountsText(s.Image.Accounts)},
		{"prepared", publish.PreparedText(s.Image.Prepared)},
		{"content", string(s.Identity.Content.Digest)},
		{"uuid", fmt.Sprintf("%v, transaction %d", s.Identity.UUID, s.Identity.Ctransid)},
	}
	for _, v := range publish.SettingsText(s.Image.Settings) {
		rows = append(rows, [2]string{"settings", v})
	}
	for _, l := range s.StreamDocs {
		from := "full"
		if l.Parent != "" {
			from = "from " + l.Parent
		}
		rows = append(rows, [2]string{"stream", fmt.Sprintf("%s: %s, %s to fetch in %d frames", from, job.Bytes(l.Raw),
			job.Bytes(l.Wire), l.Frames)})
	}
	if len(s.Needed) > 0 {
		rows = append(rows, [2]string{"needed by", strings.Join(s.Needed, ", ")})
	}
	for _, r := range rows {
		if r[1] == "" {
			continue
		}
		if _, err := fmt.Fprintf(w, "%-12s %s\n", r[0], r[1]); err != nil {
			return err
		}
	}
	return nil
}

// kernelText is empty if the image has a kernel, or if the publisher did not look.
func kernelText(m document.Image) string {
	if m.NoKernel {
		return "none" + strings.TrimPrefix(publish.NoKernelText, "no kernel")
	}
	return ""
}

// packagesText is what `griddle image show` says of them.
func packagesText(p *document.Packages) string {
	if p == nil {
		return ""
	}
	return fmt.Sprintf("%d of %s", p.Count, p.Manager)
}
