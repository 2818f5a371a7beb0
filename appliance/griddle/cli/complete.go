package cli

import (
	"context"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"griddle/appliance/api"
	"griddle/imagestore"
)

// completeTime is how long a person waits at most for words after a press of the tab key.
const completeTime = 3 * time.Second

// Completer lists the words that are possible as an argument or a flag's value. A tab and a description may follow a
// word.
type Completer func(ctx context.Context) ([]string, error)

// Arguments completes a command's arguments, each by its own completer. Further arguments have none.
func Arguments(all ...Completer) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) >= len(all) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return all[len(args)].words(c, begun)
	}
}

// Each completes every argument of a command by the same completer.
func Each(one Completer) cobra.CompletionFunc {
	return func(c *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return one.words(c, begun)
	}
}

// CompleteFlag completes the values of a flag of c.
func CompleteFlag(c *cobra.Command, flag string, by Completer) {
	_ = c.RegisterFlagCompletionFunc(flag, Each(by)) // fails only for a flag that c does not have
}

// Files completes file names, as shells do by themselves.
func Files(context.Context) ([]string, error) { return nil, nil }

// Words completes some words that are always the same.
func Words(words ...string) Completer {
	return func(context.Context) ([]string, error) { return words, nil }
}

// words are those that begin as asked for. An error gives none: there is no place to show it.
func (f Completer) words(c *cobra.Command, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	ctx, stop := context.WithTimeout(c.Context(), completeTime)
	defer stop()
	all, err := f(ctx)
	if err != nil || all == nil {
		return nil, cobra.ShellCompDirectiveDefault
	}
	var out []cobra.Completion
	for _, w := range all {
		if strings.HasPrefix(w, begun) {
			out = append(out, w)
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// quiet is e without notes, which would be printed between the words.
func (e *Env) quiet() *Env {
	q := *e
	q.Stderr, q.Out.Quiet = io.Discard, true
	return &q
}

// Images completes the names of a store's images: templates, channels and versions.
func Images(e *Env, f *StoreFlags) Completer {
	return images(func() (*imagestore.Store, error) { return OpenStore(e.quiet(), *f, false) })
}

// ServerImages completes the names of the server's images.
func ServerImages(r *Remote) Completer {
	return images(func() (*imagestore.Store, error) {
		own := *r
		own.e, own.reads = r.e.quiet(), true
		return own.store()
	})
}

func images(open func() (*imagestore.Store, error)) Completer {
	return func(ctx context.Context) ([]string, error) {
		st, err := open()
		if err != nil {
			return nil, err
		}
		list, err := st.List(ctx)
		if err != nil {
			return nil, err
		}
		words := []string{}
		for _, l := range list {
			if l.Latest {
				words = append(words, l.Template+"\tnewest version, now "+l.Version)
			}
			for _, ch := range l.Channels {
				words = append(words, l.Template+":"+ch+"\tchannel, now "+l.Version)
			}
			words = append(words, l.Template+":"+l.Version+"\t"+l.Description)
		}
		return words, nil
	}
}

// Channels completes the channels of a store.
func Channels(e *Env, f *StoreFlags) Completer {
	return func(ctx context.Context) ([]string, error) {
		st, err := OpenStore(e.quiet(), *f, false)
		if err != nil {
			return nil, err
		}
		list, err := st.Channels(ctx)
		words := []string{}
		for _, ch := range list {
			words = append(words, ch.Template+":"+ch.Name+"\tnow "+ch.Version)
		}
		return words, err
	}
}

// Keys completes the IDs of the keys that a store knows.
func Keys(e *Env, f *StoreFlags) Completer {
	return func(ctx context.Context) ([]string, error) {
		st, err := OpenStore(e.quiet(), *f, false)
		if err != nil {
			return nil, err
		}
		list, err := st.Keys(ctx)
		words := []string{}
		for _, k := range list {
			words = append(words, k.ID+"\t"+k.Comment)
		}
		return words, err
	}
}

// Groups completes the names of groups.
func Groups(r *Remote) Completer {
	return func(ctx context.Context) ([]string, error) {
		quiet := *r
		quiet.e = r.e.quiet()
		client, err := quiet.Client()
		if err != nil {
			return nil, err
		}
		got, err := client.Groups(ctx)
		words := []string{}
		for _, g := range got.Groups {
			words = append(words, g.Name)
		}
		return words, err
	}
}

// Machines completes the names of the machines that the server knows.
func Machines(r *Remote) Completer {
	return func(ctx context.Context) ([]string, error) {
		quiet := *r
		quiet.e = r.e.quiet()
		client, err := quiet.Client()
		if err != nil {
			return nil, err
		}
		words := []string{}
		err = client.EachPage(ctx, func(page api.Machines) error {
			for _, m := range page.Machines {
				words = append(words, m.Name+"\t"+m.Status)
			}
			return nil
		})
		return words, err
	}
}
