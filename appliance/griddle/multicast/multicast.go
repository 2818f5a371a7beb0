// Package multicast is `griddle multicast`: it shows and controls the sessions that send an image to many machines at
// once.
package multicast

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"griddle/appliance/api"
	"griddle/appliance/griddle/cli"
	"griddle/appliance/job"
	"griddle/imagestore/multicast"
)

// Command is `griddle multicast`.
func Command(e *cli.Env) *cobra.Command {
	c := cli.Group("multicast", "Show and control multicast sessions",
		"Show and control multicast sessions, which send an image to many machines at once. They start\n"+
			"automatically: machines that want the same image within a short time get it together, and machines\n"+
			"that come later join.\n\n"+
			"SESSION is the 16 hexadecimal digits of its ID, or as many of the first ones as make it unique.")
	s := &sessions{e: e, remote: cli.RemoteFlags(e, c)}
	c.AddCommand(s.listCommand(), s.showCommand(), s.startCommand(), s.holdCommand(), s.capCommand(), s.stopCommand(),
		s.relayCommand())
	return c
}

// sessions is what the commands of the group share.
type sessions struct {
	e      *cli.Env
	remote *cli.Remote
}

// all asks the server for the sessions.
func (s *sessions) all(ctx context.Context) (*api.Client, []multicast.Listed, error) {
	client, err := s.remote.Client()
	if err != nil {
		return nil, nil, err
	}
	var got []multicast.Listed
	if err := client.Multicast(ctx, &got); err != nil {
		return nil, nil, cli.ExplainRemote(err)
	}
	return client, got, nil
}

// find returns the session whose ID begins with name.
func (s *sessions) find(ctx context.Context, name string) (*api.Client, multicast.Listed, error) {
	client, all, err := s.all(ctx)
	if err != nil {
		return nil, multicast.Listed{}, err
	}
	fit := slices.DeleteFunc(all, func(one multicast.Listed) bool {
		return !strings.HasPrefix(one.ID.String(),
			strings.ToLower(name))
	})
	switch {
	case len(fit) == 0:
		return nil, multicast.Listed{}, cli.WithHint(fmt.Errorf("finding session %s: there is no such "+
			"session", job.Printable(name)),
			"`griddle multicast list` shows those that run.")
	case len(fit) > 1:
		var ids []string
		for _, one := range fit {
			ids = append(ids, one.ID.String())
		}
		slices.Sort(ids)
		return nil, multicast.Listed{}, fmt.Errorf("finding session %s: %d sessions begin so: "+
			"%s", job.Printable(name), len(ids), strings.Join(ids, ", "))
	}
	return client, fit[0], nil
}

// one completes the command's first argument, a session.
func (s *sessions) one() cobra.CompletionFunc {
	return cli.Arguments(func(ctx context.Context) ([]string, error) {
		_, all, err := s.all(ctx)
		words := []string{}
		for _, one := range all {
			words = append(words, one.ID.String())
		}
		return words, err
	})
}

// Done is the result of a command that controls a session.
type Done struct {
	Session string `json:"session"`
	Action  string `json:"action"`
}

// control finds the session and does action to it.
func (s *sessions) control(c *cobra.Command, name, action string, in api.StreamControl, result string) error {
	client, one, err := s.find(c.Context(), name)
	if err != nil {
		return err
	}
	id := one.ID.String()
	if err := client.Control(c.Context(), id, action, in); err != nil {
		return cli.ExplainRemote(err)
	}
	return s.e.Printf(Done{id, action}, "%s: %s", id, result)
}

func (s *sessions) startCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "start SESSION",
		Short:   "Start a session now, without waiting for more machines",
		Example: "  griddle multicast start 5c3a",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: s.one(),
		RunE: func(c *cobra.Command, args []string) error {
			return s.control(c, args[0], "start", api.StreamControl{}, "started; later machines can still join")
		},
	}
}

func (s *sessions) holdCommand() *cobra.Command {
	var d time.Duration
	var resume bool
	c := &cobra.Command{
		Use:     "hold SESSION",
		Short:   "Pause a session; machines show that they wait",
		Example: "  griddle multicast hold 5c3a --for 10m\n  griddle multicast hold 5c3a --resume",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: s.one(),
		RunE: func(c *cobra.Command, args []string) error {
			if resume {
				return s.control(c, args[0], "hold", api.StreamControl{}, "resumed")
			}
			if d < time.Second || d > multicast.MaxHold {
				return cli.Usagef("--for %v is not between a second and %v", d, multicast.MaxHold)
			}
			return s.control(c, args[0], "hold", api.StreamControl{Seconds: int64(d / time.Second)},
				fmt.Sprintf("paused for %v, or until `griddle multicast hold --resume`", d))
		},
	}
	c.Flags().DurationVar(&d, "for", 5*time.Minute, "how long; then it resumes automatically")
	c.Flags().BoolVar(&resume, "resume", false, "resume it now")
	return c
}

func (s *sessions) capCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "cap SESSION MBIT",
		Short:   "Limit the rate of a session in Mbit/s; 0 removes the limit",
		Example: "  griddle multicast cap 5c3a 40",
		Args:    cobra.ExactArgs(2), ValidArgsFunction: s.one(),
		RunE: func(c *cobra.Command, args []string) error {
			var mbit float64
			if _, err := fmt.Sscanf(args[1]+"\n", "%g\n", &mbit); err != nil || mbit < 0 || mbit > 400_000 ||
				mbit > 0 && mbit < 0.2 {
				return cli.Usagef("%q is not a rate in Mbit/s, 0.2 to 400000, or 0", args[1])
			}
			result := "its own limit is removed"
			if mbit > 0 {
				result = fmt.Sprintf("it sends at most %g Mbit/s", mbit)
			}
			return s.control(c, args[0], "cap", api.StreamControl{Rate: int64(mbit * 1e6 / 8)}, result)
		},
	}
}

func (s *sessions) stopCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "stop SESSION",
		Short:   "End a session; its machines continue over HTTP",
		Example: "  griddle multicast stop 5c3a",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: s.one(),
		RunE: func(c *cobra.Command, args []string) error {
			return s.control(c, args[0], "stop", api.StreamControl{}, "stopped; its machines continue over HTTP")
		},
	}
}

func (s *sessions) relayCommand() *cobra.Command {
	var in api.Relay
	c := &cobra.Command{
		Use:   "relay MACHINE --image IMAGE",
		Short: "Make a machine fetch an image once and send it to its neighbours",
		Long: "Make a machine relay an image: at its next boot from the network it fetches the image once, into its\n" +
			"memory, and sends it to the other machines of its own network, by multicast and over HTTP. It does\n" +
			"not touch the disks, and needs a tenth more free memory than the download size of the image. It\n" +
			"relays until `griddle machine cancel MACHINE`.\n\n" +
			"Machines on a network that the server is not on do the same for each other automatically, while they\n" +
			"install.",
		Example: "  griddle multicast relay node1 --image web:stable",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: cli.Arguments(cli.Machines(s.remote)),
		RunE: func(c *cobra.Command, args []string) error {
			if in.Image == "" {
				return cli.Usagef("--image is required")
			}
			client, err := s.remote.Client()
			if err != nil {
				return err
			}
			got, err := client.Relay(c.Context(), args[0], in)
			if err != nil {
				return cli.ExplainMachine(err)
			}
			return s.e.Printf(got, "%s relays %s. Switch it on, or restart it, with network boot "+
				"first.", got.Name, got.Job.Spec.Image.Ref)
		},
	}
	c.Flags().StringVar(&in.Image, "image", "", "`IMAGE` to relay, NAME[:VERSION|:CHANNEL]")
	cli.CompleteFlag(c, "image", cli.ServerImages(s.remote))
	return c
}
