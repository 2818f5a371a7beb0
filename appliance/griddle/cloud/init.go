package cloud

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/cloud/provider"
	"griddle/cloud/provider/ec2"
	"griddle/cloud/provider/openstack"
	"griddle/cloud/setup"
	"griddle/cloud/stack"
)

// initialized is the result of `griddle cloud init -o json`.
type initialized struct {
	File    string `json:"file"`
	Written bool   `json:"written"` // false if it existed
}

func (g *Commands) initCommand() *cobra.Command {
	var answers string
	c := &cobra.Command{
		Use:   "init",
		Short: "Ask some questions and write a stack file",
		Long: "Find the providers that this computer can use, ask some questions, and write a stack file. Regions\n" +
			"and sizes come from the provider and images from the catalog, as numbered lists; if one of them does\n" +
			"not answer, you type the value. A file that exists is never changed, and then nothing is asked. With\n" +
			"--answers the answers come from a file.",
		Example: "  griddle cloud init\n  griddle cloud init --file shop.yaml --answers answers.yaml",
		Args:    cobra.NoArgs,
	}
	g.store.Add(c)
	c.Flags().StringVar(&answers, "answers", "", "YAML `FILE` with the answers: name, provider, account, region, "+
		"image, size, count, admin, key")
	c.RunE = func(c *cobra.Command, _ []string) error {
		home, err := userHome(g.E)
		if err != nil {
			return err
		}
		work, err := os.Getwd()
		if err != nil {
			return err
		}
		computer := setup.Computer{Files: os.DirFS("/"), Getenv: g.E.Getenv, Home: home, Work: work}
		o := setup.Options{Path: g.File, Found: setup.Find(computer), Offers: g.offers(c.Context())}
		o.Offers.Key = setup.PublicKey(computer)
		if answers != "" {
			b, err := readFile(answers, 1<<20)
			if err == nil {
				o.Answers, err = setup.ParseAnswers(answers, b)
			}
			if err != nil {
				return fmt.Errorf("reading the answers: %w", err)
			}
		} else {
			o.Ask = setup.Prompt{In: bufio.NewReader(g.E.Stdin), Out: g.E.Stderr}
		}
		made, err := setup.Run(c.Context(), o)
		if err != nil {
			return err
		}
		path, err := filepath.Abs(g.File)
		if err != nil {
			return err
		}
		if !made {
			return g.E.Printf(initialized{path, false}, "%s exists already, and is not changed", path)
		}
		g.E.Say("next: `griddle cloud check`")
		return g.E.Printf(initialized{path, true}, "%s", path)
	}
	return c
}

// askProvider is how long a provider may take to say what it has.
const askProvider = 30 * time.Second

// offers asks providers and the catalog what they have.
func (g *Commands) offers(ctx context.Context) setup.Offers {
	return setup.Offers{
		Regions: func(f setup.Found) ([]setup.Choice, error) {
			within, stop := context.WithTimeout(ctx, askProvider)
			defer stop()
			names, err := g.regions(within, f)
			var out []setup.Choice
			for _, n := range names {
				out = append(out, setup.Choice{Name: n})
			}
			return out, err
		},
		Sizes: func(f setup.Found, region string) ([]setup.Choice, error) {
			within, stop := context.WithTimeout(ctx, askProvider)
			defer stop()
			sizes, err := g.sizes(within, f, region)
			var out []setup.Choice
			for _, z := range sizes {
				note := fmt.Sprintf("%d CPUs, %s", z.CPUs, memoryText(z.Memory))
				if z.Disk > 0 {
					note += fmt.Sprintf(", disk of %d GiB", z.Disk>>30)
				}
				out = append(out, setup.Choice{Name: z.Name, Note: note})
			}
			return out, err
		},
		Images: func() ([]setup.Choice, error) { return g.imageChoices(ctx) },
	}
}

func memoryText(n int64) string {
	if n%(1<<30) == 0 {
		return fmt.Sprintf("%d GiB", n>>30)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

func (g *Commands) regions(ctx context.Context, f setup.Found) ([]string, error) {
	if f.Provider == "ec2" {
		return ec2.Regions(ctx, ec2.Options{Region: f.Region, Profile: f.Account})
	}
	c, err := openstack.ReadCredentials(openstack.Source{Cloud: f.Account, Getenv: g.E.Getenv})
	if err != nil {
		return nil, err
	}
	return openstack.Regions(ctx, c)
}

// sizes are those that a provider has. QEMU and LXD need not be asked.
func (g *Commands) sizes(ctx context.Context, f setup.Found, region string) ([]provider.Size, error) {
	s := &stack.Stack{Provider: f.Provider, Options: map[string]string{}}
	account := map[string]string{"openstack": "cloud", "ec2": "profile"}[f.Provider]
	for key, value := range map[string]string{account: f.Account, "region": region, "socket": f.Socket} {
		if key != "" && value != "" {
			s.Options[key] = value
		}
	}
	dir, err := g.Folder()
	if err != nil {
		return nil, err
	}
	k, err := knowProvider(ctx, g, s, dir)
	if k.sizes != nil {
		return k.sizes, nil
	}
	if err != nil {
		return nil, err
	}
	p, err := k.open(ctx)
	if err != nil {
		return nil, err
	}
	return p.Sizes(ctx)
}

// imageChoices are the templates of the catalog and their channels.
func (g *Commands) imageChoices(ctx context.Context) ([]setup.Choice, error) {
	st, err := cli.OpenStore(g.E, g.store, false)
	if err != nil {
		return nil, err
	}
	all, err := st.List(ctx)
	if err != nil {
		return nil, err
	}
	var out []setup.Choice
	for _, l := range all { // by template, the newest version first
		if l.Untrusted != "" {
			continue
		}
		names := []string{}
		for _, channel := range l.Channels {
			names = append(names, l.Template+":"+channel)
		}
		if l.Latest {
			names = append(names, l.Template)
		}
		for _, n := range names {
			if !slices.ContainsFunc(out, func(c setup.Choice) bool { return c.Name == n }) {
				out = append(out, setup.Choice{Name: n, Note: strings.TrimSpace("now " + l.Version + ", " + l.Arch +
					" " + l.Description)})
			}
		}
	}
	if len(out) == 0 {
		return nil, errors.New("the catalog has no image")
	}
	return out, nil
}
