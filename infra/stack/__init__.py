"""The team's services as plain processes of one machine, on loopback: `python -m infra.stack`."""
