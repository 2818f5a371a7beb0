package publish

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
	"griddle/imagestore/document"
	"griddle/imagestore/template"
)

// defaultHooks is where a site's own executables are looked for.
const defaultHooks = "/etc/griddle/publish.d"

// preparation is what is done to the copy of a source, by the flags of `griddle publish`.
type preparation struct {
	env   *cli.Env
	clean string
	steps []string
	hooks template.HookOptions
	done  []document.Prepared
}

func (p *preparation) add(c *cobra.Command) {
	c.Flags().StringVar(&p.clean, "clean", "all", "comma-separated cleanup `STEPS`, or all, or none")
	c.Flags().StringVar(&p.hooks.Dir, "hooks", "", "`DIR` of executables that run on the copy (default "+
		""+defaultHooks+", if it exists)")
}

// settle reads the flags of a publication of args, SOURCE and IMAGE.
func (p *preparation) settle(args []string) error {
	var err error
	if p.steps, err = template.ParseSteps(p.clean); err != nil {
		return cli.Usage(err)
	}
	if p.hooks.Dir == "" {
		p.hooks.Dir = defaultHooks
	} else if _, err := os.Stat(p.hooks.Dir); err != nil {
		return fmt.Errorf("reading hooks: %w", err)
	}
	p.hooks.Source, p.hooks.Image, p.hooks.Say = args[0], args[1], p.env.Say
	return nil
}

// run prepares the copy at dir: source.Options.Prepare.
func (p *preparation) run(ctx context.Context, dir string) error {
	p.done = nil
	steps, err := template.Clean(ctx, dir, template.Options{Steps: p.steps, Warn: p.env.Warn})
	if err != nil {
		return err
	}
	for _, s := range steps {
		p.done = append(p.done, document.Prepared{Step: s.Name, Removed: s.Removed, Bytes: s.Bytes})
	}
	hooks, err := template.RunHooks(ctx, dir, p.hooks)
	for _, h := range hooks {
		p.done = append(p.done, document.Prepared{Hook: h.Name, SHA256: h.SHA256})
	}
	return err
}

func (p *preparation) prepared() []document.Prepared { return p.done }

// PreparedText says in one line what was done to a copy; steps that found nothing come last.
func PreparedText(all []document.Prepared) string {
	var did, idle []string
	for _, p := range all {
		switch {
		case p.Hook != "":
			did = append(did, "hook "+job.Sentence(p.Hook))
		case p.Removed > 0:
			did = append(did, fmt.Sprintf("%s (%d, %s)", job.Sentence(p.Step), p.Removed, job.Bytes(p.Bytes)))
		default:
			idle = append(idle, job.Sentence(p.Step))
		}
	}
	if len(idle) > 0 {
		did = append(did, "nothing to do for "+strings.Join(idle, ", "))
	}
	return strings.Join(did, "; ")
}
