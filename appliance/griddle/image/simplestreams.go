package image

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/cloud/simplestreams"
	"griddle/imagestore"
	"griddle/imagestore/catalog"
	"griddle/imagestore/ref"
)

// simplestreamsCommand is `griddle image simplestreams`.
func simplestreamsCommand(e *cli.Env) *cobra.Command {
	return cli.Group("simplestreams", "Make images available to LXD's own client",
		"Make images available to LXD's own client, lxc, which lists and launches images from simplestreams servers.",
		simplestreamsWrite(e), simplestreamsServe(e))
}

func simplestreamsWrite(e *cli.Env) *cobra.Command {
	var store cli.StoreFlags
	c := &cobra.Command{
		Use:   "write DIR [NAME...]",
		Short: "Write images into a directory that LXD can use",
		Long: "Write images into DIR in the layout of a simplestreams server. Serve DIR with any web server over\n" +
			"HTTPS, or with `griddle image simplestreams serve`. Images that are in DIR already are not written\n" +
			"again. NAME chooses images; in it * stands for any characters.",
		Example: "  griddle image simplestreams write /srv/www/images 'web*'\n" +
			"  lxc remote add house https://images.example --protocol=simplestreams",
		Args: cobra.MinimumNArgs(1), ValidArgsFunction: cli.Arguments(cli.Files, cli.Images(e, &store)),
	}
	store.Add(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		st, err := cli.OpenStore(e, store, false)
		if err != nil {
			return err
		}
		all, err := st.List(c.Context(), args[1:]...)
		if err != nil {
			return err
		}
		var sources []simplestreams.Source
		for _, l := range all {
			sources = append(sources, simplestreamsSource(c.Context(), st, l))
		}
		if err := simplestreams.Publish(c.Context(), args[0], sources); err != nil {
			return err
		}
		return e.Printf(map[string]any{"dir": args[0], "images": len(sources)}, "%d images are in %s", len(sources),
			args[0])
	}
	return c
}

// simplestreamsSource is an image of the store.
func simplestreamsSource(ctx context.Context, st *imagestore.Store, l catalog.Listed) simplestreams.Source {
	other := regexp.MustCompile(`[^a-z0-9.-]+`)
	name := strings.Trim(other.ReplaceAllString(l.Template, "-"), "-.")
	version := l.Published.UTC().Format("20060102") + "_" +
		strings.ToLower(regexp.MustCompile(`[^0-9A-Za-z._-]+`).ReplaceAllString(l.Version, "-"))
	s := simplestreams.Source{Image: simplestreams.Image{Name: name, Version: version, Arch: l.Arch,
		Title: l.Description},
		Digest: string(l.Document), Properties: map[string]string{"griddle": l.Ref}}
	for _, ch := range l.Channels {
		s.Aliases = append(s.Aliases, name+"/"+ch)
	}
	s.Open = func() (io.ReadCloser, error) {
		image, err := ref.Parse(l.Ref)
		if err != nil {
			return nil, err
		}
		r, w := io.Pipe()
		go func() { w.CloseWithError(st.Tar(ctx, image, w, nil)) }()
		return r, nil
	}
	return s
}

func simplestreamsServe(e *cli.Env) *cobra.Command {
	var cert, key, listen string
	c := &cobra.Command{
		Use:     "serve DIR --cert FILE --key FILE",
		Short:   "Serve such a directory over HTTPS",
		Example: "  griddle image simplestreams serve /srv/www/images --cert web.pem --key web.key --listen :8444",
		Args:    cobra.ExactArgs(1),
	}
	c.Flags().StringVar(&cert, "cert", "", "`FILE` with the certificate, PEM")
	c.Flags().StringVar(&key, "key", "", "`FILE` with its private key, PEM")
	c.Flags().StringVar(&listen, "listen", ":8444", "`ADDRESS` to listen on")
	_ = c.MarkFlagRequired("cert")
	_ = c.MarkFlagRequired("key")
	c.RunE = func(c *cobra.Command, args []string) error {
		h, err := simplestreams.Handler(args[0])
		if err != nil {
			return err
		}
		s := &http.Server{Addr: listen, Handler: h, ReadHeaderTimeout: 10 * time.Second}
		stop := context.AfterFunc(c.Context(), func() { s.Close() })
		defer stop()
		e.Say(fmt.Sprintf("serving %s at https://%s", args[0], listen))
		if err := s.ListenAndServeTLS(cert, key); err != nil && c.Context().Err() == nil {
			return fmt.Errorf("serving %s: %w", args[0], err)
		}
		return nil
	}
	return c
}
