# A bitstream from a vendor tool in /opt that writes into its own directory and takes a licence seat.
import ../../nixos/run-hatch.nix {
  builder = "fpga";
  name = "blink-bitstream";
  args = [ "-part" "xc7a35t" ];
  env.TOP = "blink";
}
