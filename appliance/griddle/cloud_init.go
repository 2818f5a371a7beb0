package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"griddle/cloud/setup"
)

func (g *clouds) initCommand() *cobra.Command {
	var answers string
	c := &cobra.Command{
		Use:   "init",
		Short: "Ask what the stack is to be, and write its file",
		Long: "Look which providers can be used from here, ask what the stack is to be, and write its file. A file that is there is\n" +
			"never touched: then nothing is asked. With --answers nothing is asked at all.",
		Args: cobra.NoArgs,
	}
	c.Flags().StringVar(&answers, "answers", "", "YAML `FILE` with the answers: name, provider, account, region, image, size, count, admin, key")
	c.RunE = func(c *cobra.Command, _ []string) error {
		home, err := userHome(g.e)
		if err != nil {
			return err
		}
		work, err := os.Getwd()
		if err != nil {
			return err
		}
		o := setup.Options{Path: g.file, Found: setup.Find(setup.Computer{Files: os.DirFS("/"), Getenv: g.e.getenv, Home: home, Work: work})}
		if answers != "" {
			b, err := readFile(answers, 1<<20)
			if err == nil {
				o.Answers, err = setup.ParseAnswers(answers, b)
			}
			if err != nil {
				return fmt.Errorf("reading the answers: %w", err)
			}
		} else {
			o.Ask = setup.Prompt{In: bufio.NewReader(g.e.stdin), Out: g.e.stderr}
		}
		made, err := setup.Run(c.Context(), o)
		if err != nil {
			return err
		}
		path, err := filepath.Abs(g.file)
		if err != nil {
			return err
		}
		if !made {
			_, err = fmt.Fprintf(g.e.stdout, "%s is there already, and stays as it is\n", path)
			return err
		}
		_, err = fmt.Fprintf(g.e.stdout, "%s\n", path)
		return withHint(err, "Go on with `griddle cloud plan`.")
	}
	return c
}
