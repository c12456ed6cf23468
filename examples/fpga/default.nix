# A bitstream from a vendor tool in /opt that writes into its own directory and takes a licence seat.
(import ../../nixos/lib.nix { }).runHatch {
  builder = "fpga";
  name = "blink-bitstream";
  args = [ "blink.v" ];
  env.TOP = "blink";
  env.PART = "xc7a35t";
}
