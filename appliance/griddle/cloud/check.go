package cloud

import (
	"context"
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"

	"griddle/cloud/firstboot"
	"griddle/cloud/preflight"
	"griddle/cloud/provider"
	"griddle/cloud/stack"
	"griddle/cloud/state"
	"griddle/cloud/yamltree"
)

func (g *Commands) checkCommand() *cobra.Command {
	var online bool
	c := &cobra.Command{
		Use:   "check",
		Short: "Report all faults of a stack file",
		Long: "Read the stack file and everything that it names on this computer (keys, user-data, secrets,\n" +
			"certificates, credentials), and report all faults, each with its line and column. `griddle cloud up`\n" +
			"starts with the same check. It does not use the network; with --online it also asks the provider for\n" +
			"its sizes, and the catalog for the images and their content.",
		Example: "  griddle cloud check\n  griddle cloud check --file shop.yaml --online",
		Args:    cobra.NoArgs,
	}
	g.buildFlags(c)
	c.Flags().BoolVar(&online, "online", false, "also ask the provider and the catalog")
	c.RunE = func(c *cobra.Command, _ []string) error {
		s, err := g.Read()
		if err == nil {
			err = g.preflight(c.Context(), s, true)
		}
		if err == nil && online {
			err = g.online(c.Context(), s)
		}
		var faults yamltree.Faults
		if errors.As(err, &faults) && !g.E.ForPeople() {
			if err := g.E.Print(faults, nil); err != nil {
				return err
			}
			return fmt.Errorf("%s has %d faults", g.File, len(faults))
		}
		if err != nil {
			return err
		}
		return g.E.Printf(s, "%s: stack %s on %s, %d servers, no faults", g.File, s.Name, s.Provider, len(s.Servers))
	}
	return c
}

// preflight finds what is wrong with a stack without asking anyone; the error is yamltree.Faults. Notes are printed.
func (g *Commands) preflight(ctx context.Context, s *stack.Stack, notes bool) error {
	dir, err := g.Folder()
	if err != nil {
		return err
	}
	k, err := knowProvider(ctx, g, s, dir)
	var faults yamltree.Faults
	if err != nil && !errors.As(err, &faults) {
		return err
	}
	boot := firstboot.Options{ReadFile: g.readLocal, Limit: k.features.UserData,
		Tree: k.features.Format == provider.Tree, Gzip: k.features.Name == "ec2"}
	if boot.Login, boot.HostKey, err = sampleKeys(); err != nil {
		return err
	}
	secrets := state.Secrets{Base: filepath.Dir(g.File), Env: g.variable}
	check := preflight.Check{Stack: s, Boot: boot, Secret: secrets.Check, Features: k.features, Sizes: k.sizes}
	if k.ports != nil {
		check.Ports = func(r []provider.Rule) error { return k.ports(s, r) }
	}
	found, noted := check.Run()
	if notes {
		for _, n := range noted {
			g.E.Say("note: " + n.Error())
		}
	}
	if all := slices.Concat(faults, found); len(all) > 0 {
		return all.Sorted()
	}
	return nil
}

// sampleKeys are a login and a host key as long as those that servers are given: user-data is checked with them for
// its size.
func sampleKeys() (public string, host func(string) (string, error), err error) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	block, err := ssh.MarshalPrivateKey(key, "griddle")
	if err != nil {
		return "", nil, err
	}
	p, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		return "", nil, err
	}
	text := string(pem.EncodeToMemory(block))
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(p))) + " griddle", func(string) (string,
		error) {
		return text, nil
	}, nil
}

// online asks the provider and the catalog for what a stack needs of them.
func (g *Commands) online(ctx context.Context, s *stack.Stack) error {
	x, err := g.open(ctx, "check")
	if err != nil {
		return err
	}
	x.Report = g.report(g.E.Stderr)
	return x.Check(ctx, s)
}
